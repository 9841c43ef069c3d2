//! `/v1/event`: user events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::{Client, ClientError, Request};
use crate::url;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserEvent {
    /// UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    pub name: String,
    /// Whatever goes with it; `null` is empty.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub payload: Vec<u8>,
    /// Regular expression that a node's name must match.
    pub node_filter: String,
    /// Regular expression that a service on the node must match.
    pub service_filter: String,
    /// Regular expression that a tag of that service must match.
    pub tag_filter: String,
    /// Version of the format.
    pub version: u8,
    /// When it arrived, on the clock of gossip.
    #[serde(rename = "LTime")]
    pub time: u64,
}

impl Client {
    /// Fires an event, of which name, payload and filters count.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub async fn fire_event(&self, event: UserEvent) -> Result<UserEvent, ClientError> {
        self.call_json(fire(self.put(&url::path("/v1/event/fire/", &event.name)), event)).await
    }
}

fn fire(request: Request, event: UserEvent) -> Request {
    request
        .pair_if("node", &event.node_filter)
        .pair_if("service", &event.service_filter)
        .pair_if("tag", &event.tag_filter)
        .body(event.payload)
}

fn to_base64<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_empty() {
        return serializer.serialize_none();
    }
    serializer.serialize_str(&STANDARD.encode(value))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_payload_has_null() {
        let text = "{\"ID\":\"i\",\"Name\":\"n\",\"Payload\":null,\"NodeFilter\":\"\",\
            \"ServiceFilter\":\"\",\"TagFilter\":\"\",\"Version\":1,\"LTime\":0}";
        let event: UserEvent = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        let with = text.replace("null", "\"eg==\"");
        let event: UserEvent = serde_json::from_str(&with).unwrap();
        assert_eq!(event.payload, b"z");
        assert_eq!(serde_json::to_string(&event).unwrap(), with);
    }
}
