//! Parameters of watches, and laying out what they tell.
#![no_main]

use lictor_api::json::reformat;
use lictor_api::watch::Plan;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let compact = reformat(bytes, None);
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    assert_eq!(serde_json::from_slice::<Value>(&compact).ok().as_ref(), Some(&value));
    let pretty = reformat(bytes, Some(4));
    assert_eq!(reformat(&pretty, None), compact);
    if let Value::Object(mut given) = value
        && Plan::parse(&mut given).is_ok()
    {
        let _ = Plan::nothing_left(&given);
    }
});
