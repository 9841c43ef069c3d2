//! The certificate authority.

use lictor_server::{CaRoots, SignedLeaf};
use lictor_types::ca::{CaChange, CaConfig};
use lictor_types::error::EndpointError;
use lictor_types::query::{Evaluated, QueryMeta, QueryOptions, Reply};
use lictor_wire::connect_ca::{self, ConfigChange, SignArgs};

use crate::away::{Serving, WriteOptions, answers, read, write};
use crate::servers::Servers;

impl Servers {
    /// The trusted roots; none where the mesh is off.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn ca_roots(&self, options: &QueryOptions) -> Result<Reply<CaRoots>, EndpointError> {
        read!(self, options, |server| server.ca_roots(options), connect_ca::Roots, ())
    }

    /// The configuration, without secrets.
    ///
    /// # Errors
    /// See [`Servers::kv_get`].
    pub async fn ca_config(
        &self,
        options: &QueryOptions,
    ) -> Result<Reply<CaConfig>, EndpointError> {
        read!(
            self,
            options,
            |server| server.ca_config(options),
            connect_ca::ConfigurationGet,
            (),
            |reply| Reply {
                result: Evaluated::new(reply.modify_index, reply),
                meta: QueryMeta::default(),
            },
        )
    }

    /// Changes the configuration; another key or certificate rotates the root.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn ca_set_config(
        &self,
        to: &WriteOptions,
        change: CaChange,
    ) -> Result<(), EndpointError> {
        let args = || ConfigChange { config: change.clone() };
        write!(
            self,
            to,
            |server| server.ca_set_config(&to.token, change.clone()),
            connect_ca::ConfigurationSet,
            args(),
        )
    }

    /// Signs a certificate request of a service of this datacenter. Signing twice is no harm.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn ca_sign(
        &self,
        to: &WriteOptions,
        request_pem: &str,
    ) -> Result<SignedLeaf, EndpointError> {
        let args = || SignArgs { csr: request_pem.to_owned() };
        write!(self, to, |server| server.ca_sign(&to.token, request_pem), connect_ca::Sign, args(),)
    }

    /// Signs the authority of another datacenter. Signing twice is no harm.
    ///
    /// # Errors
    /// See [`Servers::kv_apply`].
    pub async fn ca_sign_intermediate(
        &self,
        to: &WriteOptions,
        request_pem: &str,
    ) -> Result<String, EndpointError> {
        let args = || SignArgs { csr: request_pem.to_owned() };
        write!(
            self,
            to,
            |server| server.ca_sign_intermediate(&to.token, request_pem),
            connect_ca::SignIntermediate,
            args(),
        )
    }
}

/// Answers calls of others.
pub(crate) fn serve<'a>(servers: &'a Servers, method: &str, body: Vec<u8>) -> Option<Serving<'a>> {
    answers! { method, body;
        connect_ca::Roots, request => servers.ca_roots(&request.options);
        connect_ca::ConfigurationGet, request => async {
            let reply = servers.ca_config(&request.options).await?;
            Ok::<_, EndpointError>(reply.result.value.clone())
        };
        connect_ca::ConfigurationSet, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.ca_set_config(&to, request.args.config).await
        };
        connect_ca::SignIntermediate, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.ca_sign_intermediate(&to, &request.args.csr).await
        };
        connect_ca::Sign, request => async {
            let to = WriteOptions { datacenter: request.datacenter, token: request.token };
            servers.ca_sign(&to, &request.args.csr).await
        };
    }
}
