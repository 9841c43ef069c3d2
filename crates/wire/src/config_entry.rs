//! Settings that servers keep for services, which later versions have.
//!
//! There are none here. But an agent of version 1.10 asks for those of a proxy when one is
//! registered, and does not register it without an answer.

use lictor_pack::{Malformed, Reader, Writer};
use lictor_types::query::Reply;

use crate::record::fields;
use crate::value::Value;
use crate::{ReadRequest, methods};

methods! {
    /// The settings of a service, which are waited for as in other reads. Version 1.2 does not know
    /// it.
    ResolveServiceConfig = "ConfigEntry.ResolveServiceConfig":
        ReadRequest<ServiceName> => Wrapped<Reply<ServiceConfig>>;
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceName {
    /// Its name.
    pub name: String,
}

fields! { ServiceName {
    "MeshGateway" = None::<String>,
    "Mode" = "",
    "Name": name,
    "UpstreamIDs" = None::<String>,
    "Upstreams" = None::<String>,
} }

/// The settings of a service: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceConfig;

fields! { ServiceConfig = Self => {
    "Expose" = None::<String>,
    "MeshGateway" = None::<String>,
    "Mode" = "",
    "ProxyConfig" = None::<String>,
    "TransparentProxy" = None::<String>,
    "UpstreamConfigs" = None::<String>,
    "UpstreamIDConfigs" = None::<String>,
} }

/// A message as the bytes of a single value, which is how the original writes some.
#[derive(Clone, Debug)]
pub struct Wrapped<T>(pub T);

impl<T: Value> Value for Wrapped<T> {
    fn write(&self, to: &mut Writer) {
        let mut inner = Writer::default();
        self.0.write(&mut inner);
        to.raw(inner.into_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut inner = Reader::new(from.raw()?);
        let read = T::read(&mut inner)?;
        inner.end()?;
        Ok(Self(read))
    }
}
