//! Tokens at work: what policies, roles and identities permit, when tokens end, and logging in.

use std::time::{Duration, Instant};

use lictor_testkit::{Agent, wait_for};
use serde_json::{Value, json};

/// An agent that denies everything, with the management token `root`.
pub(crate) fn denying() -> Agent {
    Agent::dev(&json!({"acl": {
        "enabled": true, "default_policy": "deny", "tokens": {"master": "root", "agent": "root"},
    }}))
}

/// Creates something with the management token.
pub(crate) fn create(agent: &Agent, kind: &str, body: &Value) -> Value {
    agent.json("PUT", &format!("/v1/acl/{kind}?token=root"), body)
}

fn secret(token: &Value) -> String {
    token["SecretID"].as_str().expect("a secret").to_owned()
}

fn status(agent: &Agent, method: &str, path: &str, token: &str) -> u16 {
    let sign = if path.contains('?') { '&' } else { '?' };
    agent.http(method, &format!("{path}{sign}token={token}"), "x").status
}

#[test]
fn policies_roles_and_identities_permit_what_they_say() {
    let agent = denying();
    let rules = "key_prefix \"a/\" { policy = \"read\" } key_prefix \"a/b/\" { policy = \"write\" } \
                 key \"a/b/no\" { policy = \"deny\" }";
    create(&agent, "policy", &json!({"Name": "p", "Rules": rules}));
    let role = json!({"Name": "r", "Policies": [{"Name": "p"}],
        "NodeIdentities": [{"NodeName": "n9", "Datacenter": "dc1"}]});
    create(&agent, "role", &role);
    let token = create(&agent, "token", &json!({"Roles": [{"Name": "r"}]}));
    let (accessor, token) = (token["AccessorID"].clone(), secret(&token));
    for (method, path, expected) in [
        ("GET", "/v1/kv/a/x", 404),
        ("PUT", "/v1/kv/a/x", 403),
        ("PUT", "/v1/kv/a/b/x", 200),
        ("PUT", "/v1/kv/a/b/no", 403),
        ("GET", "/v1/kv/a/b/no", 403),
        ("GET", "/v1/kv/other", 403),
        ("GET", "/v1/acl/tokens", 403),
    ] {
        assert_eq!(status(&agent, method, path, &token), expected, "{method} {path}");
        assert_eq!(status(&agent, method, path, ""), 403, "{method} {path} without a token");
        assert_eq!(status(&agent, method, path, "unknown"), 403, "{method} {path}, unknown");
    }
    let node = |name: &str| {
        let body = json!({"Node": name, "Address": "10.0.0.1"}).to_string();
        agent.http("PUT", &format!("/v1/catalog/register?token={token}"), &body).status
    };
    assert_eq!((node("n9"), node("n8")), (200, 403));
    // A change of a policy counts at once, and so does the end of a role.
    let policy = agent.json("GET", "/v1/acl/policy/name/p?token=root", &Value::Null);
    let path = format!("policy/{}", policy["ID"].as_str().expect("an ID"));
    create(&agent, &path, &json!({"Name": "p", "Rules": "key \"other\" { policy = \"read\" }"}));
    assert_eq!(status(&agent, "PUT", "/v1/kv/a/b/x", &token), 403);
    assert_eq!(status(&agent, "GET", "/v1/kv/other", &token), 404);
    let role = agent.json("GET", "/v1/acl/role/name/r?token=root", &Value::Null);
    let role = role["ID"].as_str().expect("an ID");
    assert_eq!(status(&agent, "DELETE", &format!("/v1/acl/role/{role}"), "root"), 200);
    assert_eq!(status(&agent, "GET", "/v1/kv/other", &token), 403);
    // Deleting the token ends it at once.
    let accessor = accessor.as_str().expect("an accessor");
    assert_eq!(status(&agent, "DELETE", &format!("/v1/acl/token/{accessor}"), "root"), 200);
    let reply = agent.http("GET", &format!("/v1/kv/other?token={token}"), "");
    assert_eq!((reply.status, reply.text().as_str()), (403, "ACL not found"));
    assert_eq!(reply.header("X-Consul-Default-ACL-Policy"), Some("deny"));
}

#[test]
fn a_service_identity_is_that_service_and_its_sidecar() {
    let agent = denying();
    let token = create(&agent, "token", &json!({"ServiceIdentities": [{"ServiceName": "web"}]}));
    let token = secret(&token);
    let register = |name: &str| {
        let path = format!("/v1/agent/service/register?token={token}");
        agent.http("PUT", &path, &json!({"Name": name, "Port": 1, "Token": token}).to_string())
    };
    assert_eq!(register("web").status, 200);
    assert_eq!(register("web-sidecar-proxy").status, 200);
    assert_eq!(register("db").status, 403);
    wait_for("the service in the catalog", Duration::from_secs(20), || {
        let path = format!("/v1/catalog/service/web?token={token}");
        let found = agent.json("GET", &path, &Value::Null);
        (found.as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let elsewhere = json!({"ServiceIdentities": [{"ServiceName": "web", "Datacenters": ["dc9"]}]});
    let elsewhere = secret(&create(&agent, "token", &elsewhere));
    let found =
        agent.json("GET", &format!("/v1/catalog/service/web?token={elsewhere}"), &Value::Null);
    assert_eq!(found, json!([]));
}

#[test]
fn tokens_come_in_headers_too_and_secrets_are_hidden_from_readers() {
    let agent = denying();
    create(&agent, "policy", &json!({"Name": "look", "Rules": "acl = \"read\""}));
    let reader = create(&agent, "token", &json!({"Policies": [{"Name": "look"}]}));
    let seen =
        agent.json("GET", &format!("/v1/acl/tokens?token={}", secret(&reader)), &Value::Null);
    let seen = seen.as_array().expect("a list");
    assert!(seen.len() >= 3 && seen.iter().all(|token| token["SecretID"] == "<hidden>"));
    let own =
        agent.json("GET", &format!("/v1/acl/token/self?token={}", secret(&reader)), &Value::Null);
    assert_eq!(own["SecretID"], reader["SecretID"]);
    let questions = json!([
        {"Resource": "acl", "Access": "read"}, {"Resource": "acl", "Access": "write"},
        {"Resource": "key", "Segment": "x", "Access": "read"},
    ]);
    let path = format!("/v1/internal/acl/authorize?token={}", secret(&reader));
    let answers = agent.json("POST", &path, &questions);
    let answers: Vec<_> = answers.as_array().expect("a list").iter().map(|a| &a["Allow"]).collect();
    assert_eq!(answers, [true, false, false]);
}

#[test]
fn a_token_ends_with_its_time() {
    let agent = denying();
    let body = json!({"Policies": [{"Name": "global-management"}], "ExpirationTTL": "1m"});
    let token = create(&agent, "token", &body);
    let accessor = token["AccessorID"].as_str().expect("an accessor");
    assert_eq!(status(&agent, "GET", "/v1/acl/tokens", &secret(&token)), 200);
    let started = Instant::now();
    wait_for("its end", Duration::from_secs(90), || {
        (status(&agent, "GET", "/v1/acl/tokens", &secret(&token)) == 403).then_some(())
    });
    assert!(started.elapsed() > Duration::from_secs(55), "{:?}", started.elapsed());
    wait_for("its row to go", Duration::from_secs(20), || {
        let listed = agent.json("GET", "/v1/acl/tokens?token=root", &Value::Null);
        (!listed.to_string().contains(accessor)).then_some(())
    });
}

/// Key of one who vouches for others.
pub(crate) const ISSUER: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ9qDOlikWVuojkzoVa/RVmYR8TpV
y7T8025TvY6/DymeFCWwVVWCYbbo/eJiVAOgPysrMlEKanPvp+7nH3VjAQ==
-----END PUBLIC KEY-----
";
/// Its statement until the year 2100: `{"iss": "me", "sub": "Web", "nbf": 1,
/// "exp": 4102444800}`.
pub(crate) const STATEMENT: &str = "\
    eyJhbGciOiAiRVMyNTYifQ.eyJpc3MiOiAibWUiLCAic3ViIjogIldlYiIsICJuYmYiOiAxLCAiZXhwIjogNDEwMjQ\
    0NDgwMH0.vHa5ATo9hpP0JEGzQXig3zDYieb2PJNxpRbk_pxZJPYyl1YnXTczhW-LzfEgJCQbC2Ch2CobiT5QXyAsm\
    NcSrQ";
/// The same by somebody else.
const FORGED: &str = "\
    eyJhbGciOiAiRVMyNTYifQ.eyJpc3MiOiAibWUiLCAic3ViIjogIldlYiIsICJuYmYiOiAxLCAiZXhwIjogNDEwMjQ\
    0NDgwMH0.F9bP08Kikl79vmL_wk0mticgXJFsRNSkPfqr7gJQZO8GaOIk0pdZnZ4NQ_Ov10C6x5gdPNVeAwM6uP7BT\
    Z_Mxw";

#[test]
fn who_logs_in_gets_what_is_bound() {
    let agent = denying();
    let method = json!({"Name": "jwt", "Type": "jwt", "MaxTokenTTL": "10m", "Config": {
        "JWTValidationPubKeys": [ISSUER], "BoundIssuer": "me",
        "ClaimMappings": {"sub": "who"},
    }});
    let made = create(&agent, "auth-method", &method);
    assert_eq!(made["MaxTokenTTL"], "10m0s");
    let login = |jwt: &str| {
        let body = json!({"AuthMethod": "jwt", "BearerToken": jwt, "Meta": {"pod": "p1"}});
        agent.http("POST", "/v1/acl/login", &body.to_string())
    };
    // Nothing is bound to anybody yet.
    assert_eq!(login(STATEMENT).status, 403);
    let rule = json!({"AuthMethod": "jwt", "BindType": "service", "BindName": "app-${value.who}"});
    create(&agent, "binding-rule", &rule);
    let reply = login(STATEMENT);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = reply.json();
    assert_eq!(token["ServiceIdentities"], json!([{"ServiceName": "app-web"}]));
    assert_eq!(token["Description"], "token created via login: {\"pod\":\"p1\"}");
    assert_eq!((&token["Local"], &token["AuthMethod"]), (&json!(true), &json!("jwt")));
    assert!(token["ExpirationTime"].is_string());
    let secret = secret(&token);
    let body = json!({"Name": "app-web", "Port": 1}).to_string();
    let path = format!("/v1/agent/service/register?token={secret}");
    assert_eq!(agent.http("PUT", &path, &body).status, 200);
    assert_eq!(status(&agent, "POST", "/v1/acl/logout", &secret), 200);
    assert_eq!(status(&agent, "POST", "/v1/acl/logout", &secret), 403);
    assert_eq!(status(&agent, "POST", "/v1/acl/logout", "root"), 403);
    assert_eq!(agent.http("PUT", &path, &body).status, 403);
    // Others are not let in, and with the method go the tokens that it made.
    assert_eq!(login(FORGED).status, 500);
    let second = login(STATEMENT).json();
    assert_eq!(status(&agent, "DELETE", "/v1/acl/auth-method/jwt", "root"), 200);
    let path = format!("/v1/acl/token/self?token={}", self::secret(&second));
    assert_eq!(agent.http("GET", &path, "").status, 403);
    let rules = agent.json("GET", "/v1/acl/binding-rules?token=root", &Value::Null);
    assert_eq!(rules, json!([]));
    assert_eq!(login(STATEMENT).status, 403);
}
