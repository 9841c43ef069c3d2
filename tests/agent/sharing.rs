//! Equal queries share one encoded body; what only looks equal does not.

use lictor_testkit::Agent;
use serde_json::{Value, json};

fn names(agent: &Agent, query: &str) -> Vec<String> {
    let path = format!("/v1/connect/intentions/match?by=destination&{query}");
    let reply = agent.http("GET", &path, "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body: Value = serde_json::from_str(&reply.text()).expect("JSON");
    body.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn matches_are_shown_under_the_names_that_were_asked() {
    let agent = Agent::dev(&json!({}));
    let intention = r#"{"SourceName": "web", "DestinationName": "db", "Action": "allow"}"#;
    assert_eq!(agent.http("POST", "/v1/connect/intentions", intention).status, 200);
    // Both are one query to the server; asked in turn, so that each would meet the other's body.
    for _ in 0..2 {
        assert_eq!(names(&agent, "name=db"), ["db"]);
        assert_eq!(names(&agent, "name=default/db"), ["default/db"]);
        assert_eq!(names(&agent, "name=db&name=web"), ["db", "web"]);
        assert_eq!(names(&agent, "name=web&name=default/db"), ["default/db", "web"]);
    }
}
