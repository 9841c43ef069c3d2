//! How entries are shown: fields in a fixed order, durations as text, what is empty mostly left out.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Map, Value};

use super::schema::{Field, Shape};
use super::{ConfigEntry, Kind};
use crate::duration;

/// An entry as the API shows it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a ConfigEntry);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let entry = self.0;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("Kind", entry.kind.as_str())?;
        if entry.kind != Kind::Mesh {
            map.serialize_entry("Name", &entry.name)?;
        }
        write_fields::<S>(&mut map, entry.kind.fields(), &entry.fields)?;
        map.serialize_entry("CreateIndex", &entry.create_index)?;
        map.serialize_entry("ModifyIndex", &entry.modify_index)?;
        map.end()
    }
}

fn write_fields<S: Serializer>(
    map: &mut S::SerializeMap,
    fields: &[Field],
    held: &Map<String, Value>,
) -> Result<(), S::Error> {
    for field in fields {
        let value = held.get(field.name);
        if value.is_some() || field.always {
            map.serialize_entry(field.name, &One { shape: field.shape, value })?;
        }
    }
    Ok(())
}

/// Several fields.
struct Fields<'a> {
    fields: &'a [Field],
    held: &'a Map<String, Value>,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        write_fields::<S>(&mut map, self.fields, self.held)?;
        map.end()
    }
}

/// One value, or what stands for none.
struct One<'a> {
    shape: Shape,
    value: Option<&'a Value>,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let nothing = Map::new();
        match (self.shape, self.value) {
            (Shape::Text, None) => to.serialize_str(""),
            (Shape::Switch, None) => to.serialize_bool(false),
            (Shape::Whole | Shape::Number | Shape::Nanos, None) => to.serialize_i64(0),
            (Shape::Part(fields), None) => Fields { fields, held: &nothing }.serialize(to),
            (_, None) => to.serialize_none(),
            (Shape::Duration, Some(value)) => {
                to.serialize_str(&duration::format(value.as_i64().unwrap_or_default()))
            }
            // A number without a fraction is shown without one.
            (Shape::Number, Some(Value::Number(number))) => match number.as_f64() {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number of percent")]
                Some(number) if number.fract() == 0.0 => to.serialize_i64(number as i64),
                _ => number.serialize(to),
            },
            (Shape::Part(fields) | Shape::Option(fields), Some(Value::Object(held))) => {
                Fields { fields, held }.serialize(to)
            }
            (Shape::List(fields), Some(Value::Array(items))) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    let shape = Shape::Option(fields);
                    list.serialize_element(&One { shape, value: Some(item) })?;
                }
                list.end()
            }
            (Shape::Map(fields), Some(Value::Object(items))) => {
                let mut map = to.serialize_map(Some(items.len()))?;
                for (key, item) in items {
                    let shape = Shape::Option(fields);
                    map.serialize_entry(key, &One { shape, value: Some(item) })?;
                }
                map.end()
            }
            (_, Some(value)) => value.serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::*;
    use crate::config_entry::read::EntryError;

    fn read(given: Value) -> Result<ConfigEntry, EntryError> {
        let Value::Object(given) = given else { panic!("no object") };
        ConfigEntry::from_json(&given)
    }

    fn shown(given: Value) -> String {
        serde_json::to_string(&Shown(&read(given).unwrap())).unwrap()
    }

    #[test]
    fn what_was_written_is_shown_in_order_and_without_what_is_empty() {
        assert_eq!(
            shown(
                json!({"Name": "web", "kind": "service-defaults", "Protocol": "http", "Meta": {}})
            ),
            r#"{"Kind":"service-defaults","Name":"web","Protocol":"http","TransparentProxy":{},"MeshGateway":{},"Expose":{},"CreateIndex":0,"ModifyIndex":0}"#
        );
        assert_eq!(
            shown(json!({"Kind": "service-resolver", "Name": "web", "connect_timeout": "15s",
                "default_subset": "v1", "Subsets": {"v1": {"filter": "x"}, "v2": {}}})),
            r#"{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1","Subsets":{"v1":{"Filter":"x"},"v2":{}},"ConnectTimeout":"15s","CreateIndex":0,"ModifyIndex":0}"#
        );
        assert_eq!(
            shown(json!({"Kind": "mesh", "TransparentProxy": {"MeshDestinationsOnly": true}})),
            r#"{"Kind":"mesh","TransparentProxy":{"MeshDestinationsOnly":true},"CreateIndex":0,"ModifyIndex":0}"#
        );
        assert_eq!(
            shown(json!({"Kind": "proxy-defaults", "Name": "other"})),
            r#"{"Kind":"proxy-defaults","Name":"global","Config":null,"TransparentProxy":{},"MeshGateway":{},"Expose":{},"CreateIndex":0,"ModifyIndex":0}"#
        );
        assert!(
            shown(json!({"Kind": "service-splitter", "Name": "web",
                "splits": [{"weight": 33.333_3}, {"weight": "66.67"}, {"Weight": 0}]}))
            .contains(r#""Splits":[{"Weight":33.33},{"Weight":66.67},{"Weight":0}]"#)
        );
    }

    #[test]
    fn a_limit_of_zero_is_one() {
        let limits = json!({"MaxConnections": 0, "MaxPendingRequests": null});
        let entry = read(json!({"Kind": "service-defaults", "Name": "web",
            "UpstreamConfig": {"Defaults": {"Limits": limits, "ConnectTimeoutMs": 0}}}));
        let kept = json!({"UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": 0}}}});
        assert_eq!(Value::Object(entry.unwrap().fields), kept);
    }

    #[test]
    fn blocks_of_files_and_near_types_are_taken() {
        let entry = read(json!({
            "Kind": "service-router", "Name": "web",
            "Routes": {"match": [{"http": [{"path_prefix": "/a", "methods": "get"}]}],
                "destination": [{"num_retries": "3", "retry_on_status_codes": [500, "503"]}]},
        }));
        assert_eq!(
            Value::Object(entry.unwrap().fields),
            json!({"Routes": [{"Match": {"HTTP": {"PathPrefix": "/a", "Methods": ["get"]}},
                "Destination": {"NumRetries": 3, "RetryOnStatusCodes": [500, 503]}}]})
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = |given| read(given).unwrap_err().to_string();
        let missing = "Payload does not contain a kind/Kind key at the top level";
        assert_eq!(error(json!({"Name": "x"})), missing);
        assert_eq!(error(json!({"Kind": "bogus"})), "invalid config entry kind: bogus");
        assert_eq!(
            error(json!({"Kind": "service-defaults", "Name": "x", "Bogus": 1})),
            "1 error occurred:\n\t* invalid config key \"Bogus\"\n\n"
        );
        let nested = error(json!({"Kind": "service-router", "Routes": [{"Match": {"UDP": 1}}]}));
        assert!(nested.contains("\"Routes[0].Match.UDP\""), "{nested}");
        let typed = error(json!({"Kind": "service-router", "Routes": [{"Match": 1}]}));
        assert!(typed.contains("'Routes[0].Match' expected"), "{typed}");
        let time = error(json!({"Kind": "service-resolver", "ConnectTimeout": "soon"}));
        assert!(time.contains("invalid duration \"soon\""), "{time}");
        assert!(error(json!({"Kind": "mesh", "Namespace": "other"})).contains("Namespace"));
        assert!(read(json!({"Kind": "mesh", "Namespace": "default"})).is_ok());
    }

    /// Values that may or may not suit a field.
    fn value(depth: u32) -> BoxedStrategy<Value> {
        let names = || {
            select(vec![
                "Name",
                "name",
                "Services",
                "Listeners",
                "Port",
                "Protocol",
                "Splits",
                "Weight",
                "Routes",
                "Match",
                "HTTP",
                "Subsets",
                "Filter",
                "Failover",
                "Datacenters",
                "ConnectTimeout",
                "Sources",
                "Action",
                "Permissions",
                "Config",
                "Meta",
                "Nonsense",
            ])
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            select(vec!["", "15s", "1", "true", "allow", "x"]).prop_map(Value::from),
        ];
        leaf.prop_recursive(depth, 32, 4, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((names(), inner), 0..4).prop_map(|fields| {
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
                }),
            ]
        })
        .boxed()
    }

    /// An entry as somebody may write it: most of its fields are known.
    fn given() -> impl Strategy<Value = Map<String, Value>> {
        select(Kind::ALL.to_vec()).prop_flat_map(|kind| {
            let names: Vec<_> = kind.fields().iter().map(|field| field.name).collect();
            let fields = vec((select(names), value(5)), 0..4);
            fields.prop_map(move |fields| {
                let mut given: Map<String, Value> =
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                given.insert("Kind".to_owned(), kind.as_str().into());
                given.insert("Name".to_owned(), "web".into());
                given
            })
        })
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_shown_so_that_it_is_read_again(given in given()) {
            if let Ok(entry) = ConfigEntry::from_json(&given) {
                let again = serde_json::to_value(Shown(&entry)).unwrap();
                let read = ConfigEntry::from_json(again.as_object().unwrap()).unwrap();
                prop_assert_eq!(read, entry);
            }
        }
    }
}
