//! The commands about tokens, from the first token to the last, and what they say when misused.

use std::process::Command;

use lictor_testkit::{Agent, binary};
use serde_json::{Value, json};

use crate::acl::{ISSUER, STATEMENT};

/// A command line with a token.
struct Shell<'a> {
    agent: &'a Agent,
    token: String,
}

impl Shell<'_> {
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let done = Command::new(binary())
            .args(arguments)
            .env("CONSUL_HTTP_ADDR", &self.agent.http)
            .env("CONSUL_HTTP_TOKEN", &self.token)
            .output()
            .expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
    }

    /// What a command prints that succeeds.
    fn out(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    /// The same as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let all = [arguments, &["-format", "json"]].concat();
        serde_json::from_str(&self.out(&all)).expect("JSON")
    }

    /// What a command says that fails.
    fn err(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        err.trim_end().to_owned()
    }
}

#[test]
fn from_the_first_token_to_the_last() {
    let agent = Agent::dev(&json!({"acl": {"enabled": true, "default_policy": "deny"}}));
    let mut shell = Shell { agent: &agent, token: String::new() };
    let first = shell.out(&["acl", "bootstrap"]);
    assert!(first.contains("Description:      Bootstrap Token (Global Management)\n"), "{first}");
    assert!(first.contains("   00000000-0000-0000-0000-000000000001 - global-management\n"));
    let secret = first.lines().find_map(|line| line.strip_prefix("SecretID:"));
    shell.token = secret.expect("a secret").trim().to_owned();
    let again = shell.err(&["acl", "bootstrap"]);
    assert!(
        again.starts_with(
            "Failed ACL bootstrapping: Unexpected response code: 403 (Permission denied: ACL \
             bootstrap no longer allowed (reset index: "
        ),
        "{again}"
    );

    let file = agent.folder.path().join("rules.hcl");
    std::fs::write(&file, "key_prefix \"app/\" { policy = \"write\" }").expect("a file");
    let at_file = format!("@{}", file.display());
    let policy = shell.json(&["acl", "policy", "create", "-name", "app", "-rules", &at_file]);
    let policy_id = policy["ID"].as_str().expect("an ID");
    let shown = shell.out(&["acl", "policy", "read", "-id", &policy_id[..8]]);
    assert!(shown.ends_with("Rules:\nkey_prefix \"app/\" { policy = \"write\" }\n"), "{shown}");
    assert!(
        shell
            .out(&["acl", "policy", "list"])
            .contains(&format!("app:\n   ID:           {policy_id}\n"))
    );
    shell.out(&["acl", "policy", "update", "-name", "app", "-description", "of the app"]);
    let role = shell.json(&[
        "acl",
        "role",
        "create",
        "-name",
        "ops",
        "-policy-name",
        "app",
        "-service-identity",
        "web:dc1",
    ]);
    assert_eq!(role["Policies"], json!([{"ID": policy_id, "Name": "app"}]));
    let role_id = role["ID"].as_str().expect("an ID");
    shell.out(&["acl", "role", "update", "-id", role_id, "-node-identity", "n1:dc1"]);
    let role = shell.out(&["acl", "role", "read", "-name", "ops"]);
    assert!(role.contains("Node Identities:\n   n1 (Datacenter: dc1)\n"), "{role}");
    assert!(role.contains("Service Identities:\n   web (Datacenters: dc1)\n"), "{role}");

    let token = shell.json(&[
        "acl",
        "token",
        "create",
        "-description",
        "deploys",
        "-role-name",
        "ops",
        "-expires-ttl",
        "8h",
    ]);
    let accessor = token["AccessorID"].as_str().expect("an accessor");
    let user = Shell { agent: &agent, token: token["SecretID"].as_str().expect("one").to_owned() };
    user.out(&["kv", "put", "app/version", "2"]);
    assert!(user.err(&["kv", "put", "other", "2"]).contains("403"));
    let own = user.out(&["acl", "token", "read", "-self"]);
    assert!(own.contains("\nExpiration Time:  ") && own.contains(" +0000 UTC\n"), "{own}");
    shell.out(&["acl", "token", "update", "-id", accessor, "-merge-roles", "-policy-name", "app"]);
    let copy = shell.json(&["acl", "token", "clone", "-id", accessor, "-description", "copy"]);
    let copied = shell.json(&["acl", "token", "read", "-id", accessor]);
    assert_eq!((&copy["Roles"], &copy["Policies"]), (&copied["Roles"], &copied["Policies"]));
    let listed = shell.json(&["acl", "token", "list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(4));

    // The role can go by its name; what is left of the token's rights is the policy.
    assert_eq!(
        shell.out(&["acl", "role", "delete", "-name", "ops"]),
        format!("Role {role_id:?} deleted successfully\n")
    );
    user.out(&["kv", "put", "app/version", "3"]);
    shell.out(&["acl", "policy", "delete", "-name", "app"]);
    assert!(user.err(&["kv", "get", "app/version"]).contains("403"));
    let gone = format!("Token {accessor:?} deleted successfully\n");
    assert_eq!(shell.out(&["acl", "token", "delete", "-id", &accessor[..13]]), gone);
    assert!(user.err(&["acl", "token", "read", "-self"]).contains("ACL not found"));
    let own = shell.json(&["acl", "token", "read", "-self"]);
    let own = own["AccessorID"].as_str().expect("an accessor");
    assert!(shell.err(&["acl", "token", "delete", "-id", own]).contains("is not permitted"));
}

#[test]
fn logging_in_and_out() {
    let agent = crate::acl::denying();
    let shell = Shell { agent: &agent, token: "root".to_owned() };
    let folder = agent.folder.path();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let config = json!({"JWTValidationPubKeys": [ISSUER],
        "ClaimMappings": {"sub": "who"}});
    let config = format!("@{}", file("config.json", &config.to_string()));
    shell.out(&[
        "acl",
        "auth-method",
        "create",
        "-type",
        "jwt",
        "-name",
        "sso",
        "-max-token-ttl",
        "5m",
        "-config",
        &config,
    ]);
    let method = shell.out(&["acl", "auth-method", "read", "-name", "sso"]);
    assert!(method.contains("MaxTokenTTL:   5m0s\n") && method.contains("\"sub\": \"who\""));
    shell.out(&["acl", "auth-method", "update", "-name", "sso", "-description", "people"]);
    let rule = shell.json(&[
        "acl",
        "binding-rule",
        "create",
        "-method",
        "sso",
        "-bind-name",
        "${value.who}",
    ]);
    let rule = rule["ID"].as_str().expect("an ID");
    assert!(
        shell
            .out(&["acl", "binding-rule", "read", "-id", rule])
            .contains("BindType:     service\n")
    );

    let bearer = file("jwt", STATEMENT);
    let sink = folder.join("token").display().to_string();
    let nobody = Shell { agent: &agent, token: "unknown".to_owned() };
    nobody.out(&[
        "login",
        "-method",
        "sso",
        "-bearer-token-file",
        &bearer,
        "-token-sink-file",
        &sink,
    ]);
    let secret = std::fs::read_to_string(&sink).expect("the secret");
    let user = Shell { agent: &agent, token: secret };
    assert_eq!(user.json(&["acl", "token", "read", "-self"])["AuthMethod"], "sso");
    assert_eq!(user.out(&["logout"]), "");
    assert!(user.err(&["logout"]).starts_with("Error destroying token: "));
    shell.out(&["acl", "binding-rule", "delete", "-id", &rule[..8]]);
    shell.out(&["acl", "auth-method", "delete", "-name", "sso"]);
    assert_eq!(shell.out(&["acl", "auth-method", "list"]), "");
}

#[test]
fn mistakes_are_said() {
    let agent = crate::acl::denying();
    let shell = Shell { agent: &agent, token: "root".to_owned() };
    for (words, text) in [
        ("acl token read", "Must specify the -id parameter"),
        ("acl token read -id zz", "Error determining token ID: No such token ID with prefix: zz"),
        ("acl token delete", "Must specify the -id parameter"),
        ("acl token update", "Cannot update a token without specifying the -id parameter"),
        (
            "acl token create -policy-name nosuch",
            "Failed to create new token: Unexpected response code: 500 (No such ACL policy with \
             name \"nosuch\")",
        ),
        ("acl token create -node-identity n", "Malformed -node-identity argument: \"n\""),
        ("acl policy read", "Must specify either the -id or -name parameters"),
        (
            "acl policy read -name nosuch",
            "Error determining policy ID: No such policy with name nosuch",
        ),
        (
            "acl policy delete -id global-management",
            "Error deleting policy \"00000000-0000-0000-0000-000000000001\": Unexpected response \
             code: 500 (Delete operation not permitted on the builtin global-management policy)",
        ),
        ("acl role read -name nosuch", "Role not found with name \"nosuch\""),
        ("acl auth-method read -name x", "Auth method not found with name \"x\""),
        ("acl token list -format xml", "Unknown format: xml"),
        ("acl set-agent-token", "Error! Missing TYPE and TOKEN arguments"),
        ("acl translate-rules", "Error! Missing TRANSLATE argument"),
        ("login", "Missing required '-method' flag"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(shell.err(&words), text, "{words:?}");
    }
    let set = shell.out(&["acl", "set-agent-token", "agent", "root"]);
    assert_eq!(set, "ACL token \"agent\" set successfully\n");
    let (code, _, err) = shell.run(&["acl", "policy", "create"]);
    assert!(code == 1 && err.starts_with("Missing require '-name' flag\n"), "{err}");
}
