//! The digits that tell chains apart that were asked for otherwise.
//!
//! They become part of names in proxies, so that equal wishes must give equal digits on every
//! server, also on those of the original: a hash (FNV-1, 64 bits) of the names and values of a
//! structure's fields, combined so that their order does not matter.

use std::time::Duration;

/// Wishes that made a difference; what did not is empty or zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Customization<'a> {
    pub(super) mesh_gateway: &'a str,
    pub(super) protocol: &'a str,
    pub(super) connect_timeout: Duration,
}

impl Customization<'_> {
    /// Eight digits.
    pub(super) fn digits(&self) -> String {
        let gateway =
            structure("MeshGatewayConfig", [("Mode", hash([self.mesh_gateway.as_bytes()]))]);
        let nanos = i64::try_from(self.connect_timeout.as_nanos()).unwrap_or(i64::MAX);
        let all = structure(
            "",
            [
                ("OverrideMeshGateway", gateway),
                ("OverrideProtocol", hash([self.protocol.as_bytes()])),
                ("OverrideConnectTimeout", hash([&nanos.to_le_bytes()[..]])),
            ],
        );
        let mut digits = format!("{all:x}");
        digits.truncate(8);
        digits
    }
}

fn structure<const N: usize>(name: &str, fields: [(&str, u64); N]) -> u64 {
    fields.into_iter().fold(hash([name.as_bytes()]), |sum, (key, value)| {
        let key = hash([key.as_bytes()]);
        sum ^ hash([&key.to_le_bytes()[..], &value.to_le_bytes()[..]])
    })
}

fn hash<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte)
    })
}
