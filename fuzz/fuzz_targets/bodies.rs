//! Bodies of requests: any bytes are a body or an error, and what is read is read alike again.
#![no_main]

use std::fmt::Debug;

use lictor_api::agent::TokenUpdate;
use lictor_api::agent_check::{CheckRegistration, CheckUpdate};
use lictor_api::agent_connect::AuthorizeRequest;
use lictor_api::agent_service::ServiceRegistration;
use lictor_api::catalog::{CatalogDeregistration, CatalogRegistration};
use lictor_api::connect_ca::CaConfig;
use lictor_api::decode::{Body, decode, decode_list};
use lictor_api::intentions::Intention;
use lictor_api::prepared_query::PreparedQuery;
use lictor_api::session::SessionRequest;
use lictor_api::txn::TxnOp;
use serde::Serialize;

fn body<T: Body + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(read) = decode::<T>(bytes) {
        let written = serde_json::to_vec(&read).expect("what was read can be written");
        assert_eq!(decode::<T>(&written).expect("and read again"), read);
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 12 {
        0 => body::<TokenUpdate>(bytes),
        1 => body::<CheckRegistration>(bytes),
        2 => body::<CheckUpdate>(bytes),
        3 => body::<AuthorizeRequest>(bytes),
        4 => body::<ServiceRegistration>(bytes),
        5 => body::<CatalogDeregistration>(bytes),
        6 => body::<CatalogRegistration>(bytes),
        7 => body::<CaConfig>(bytes),
        8 => body::<Intention>(bytes),
        9 => body::<PreparedQuery>(bytes),
        10 => body::<SessionRequest>(bytes),
        _ => drop(decode_list::<TxnOp>(bytes)),
    }
});
