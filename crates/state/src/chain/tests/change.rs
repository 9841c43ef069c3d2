//! What makes no chain, and which changes are refused.

use super::*;

/// Why the change to `all` is refused, of an entry that is there already.
fn refused(all: &Entries, kind: &str, name: &str) -> String {
    check(all, &long(kind), name, "dc1").unwrap_err().to_string()
}

fn fine(all: &Entries, kind: &str, name: &str) {
    check(all, &long(kind), name, "dc1").unwrap();
}

#[test]
fn only_what_speaks_alike_and_in_requests_is_split() {
    let mut all = entries(&[("splitter", "web", even(&["web", "api"]))]);
    let tcp = "discovery chain \"web\" uses a protocol \"tcp\" that does not permit advanced \
               routing or splitting behavior";
    assert_eq!(error(&all, "web"), tcp);
    assert_eq!(refused(&all, "splitter", "web"), tcp);
    put(&mut all, "defaults", "web", json!({"Protocol": "http"}));
    let mixed = "discovery chain \"web\" uses inconsistent protocols; service \"api\" has \"tcp\" \
                 which is not \"http\"";
    assert_eq!(refused(&all, "splitter", "web"), mixed);
    put(&mut all, "defaults", "api", json!({"Protocol": "http"}));
    fine(&all, "splitter", "web");
    // A change of what leads there is one of the chain.
    put(&mut all, "defaults", "api", json!({"Protocol": "grpc"}));
    let mixed = mixed.replace("tcp", "grpc");
    assert_eq!(refused(&all, "defaults", "api"), mixed);
    all.remove("service-defaults", "api");
    all.remove("service-defaults", "web");
    assert_eq!(refused(&all, "defaults", "web"), tcp);
    put(&mut all, "proxy-defaults", "global", json!({"Config": {"protocol": "http"}}));
    fine(&all, "proxy-defaults", "global");
    put(&mut all, "proxy-defaults", "global", json!({"Config": {}}));
    assert_eq!(refused(&all, "proxy-defaults", "global"), tcp);
    // Nobody asks for another than the one that counts.
    fine(&all, "proxy-defaults", "other");
    fine(&all, "mesh", "mesh");
}

#[test]
fn a_router_alone_needs_requests_too() {
    let all = entries(&[("router", "web", json!({"Routes": []}))]);
    assert!(refused(&all, "router", "web").contains("does not permit advanced routing"));
}

#[test]
fn circles_are_told_from_where_they_begin() {
    let mut all = http(&["a", "b", "c", "d"]);
    put(&mut all, "splitter", "a", even(&["b"]));
    put(&mut all, "splitter", "b", even(&["d", "c"]));
    put(&mut all, "splitter", "c", even(&["a"]));
    assert_eq!(
        refused(&all, "splitter", "c"),
        "detected circular reference: [splitter:c.default -> splitter:a.default -> \
         splitter:b.default -> splitter:c.default]"
    );
    // A splitter may lead to its own instances.
    put(&mut all, "splitter", "c", even(&["c"]));
    fine(&all, "splitter", "c");
    let redirect = |to: &str| json!({"Redirect": {"Service": to}});
    let mut all = entries(&[
        ("resolver", "a", redirect("b")),
        ("resolver", "b", redirect("c")),
        ("resolver", "c", redirect("a")),
    ]);
    assert_eq!(
        refused(&all, "resolver", "b"),
        "detected circular resolver redirect: [b.default.dc1 -> c.default.dc1 -> a.default.dc1 -> \
         b.default.dc1]"
    );
    // Failover is no redirect: two may take each other's place.
    put(&mut all, "resolver", "b", json!({"Failover": {"*": {"Service": "c"}}}));
    put(&mut all, "resolver", "c", json!({"Failover": {"*": {"Service": "b"}}}));
    fine(&all, "resolver", "b");
}

#[test]
fn a_subset_that_is_used_must_be_there() {
    let mut all = http(&["web", "api"]);
    let missing = "service \"api\" does not have a subset named \"v1\"";
    let split = json!({"Splits": [{"Weight": 100, "Service": "api", "ServiceSubset": "v1"}]});
    put(&mut all, "splitter", "web", split);
    assert_eq!(refused(&all, "splitter", "web"), missing);
    put(&mut all, "resolver", "api", json!({"Subsets": {"v1": {}}}));
    fine(&all, "splitter", "web");
    put(&mut all, "resolver", "api", json!({"Subsets": {"v2": {}}}));
    assert_eq!(refused(&all, "resolver", "api"), missing);
    all.remove("service-resolver", "api");
    assert_eq!(refused(&all, "resolver", "api"), missing);
    all.remove("service-splitter", "web");
    let redirect = json!({"Redirect": {"Service": "api", "ServiceSubset": "v1"}});
    put(&mut all, "resolver", "web", redirect);
    assert_eq!(refused(&all, "resolver", "api"), missing);
    let failover = json!({"Failover": {"*": {"Service": "api", "ServiceSubset": "v1"}}});
    put(&mut all, "resolver", "web", failover);
    assert_eq!(refused(&all, "resolver", "api"), missing);
    all.remove("service-resolver", "web");
    let to = json!({"Destination": {"Service": "api", "ServiceSubset": "v1"}});
    put(&mut all, "router", "web", json!({"Routes": [to]}));
    assert_eq!(refused(&all, "resolver", "api"), missing);
}

#[test]
fn what_is_outside_of_the_mesh_cannot_do_what_the_mesh_does() {
    let mut all = entries(&[("defaults", "db", json!({"ExternalSNI": "db.example.com"}))]);
    fine(&all, "defaults", "db");
    for (resolver, what) in [
        (json!({"Redirect": {"Datacenter": "dc1"}}), "redirects"),
        (json!({"Subsets": {"v1": {}}}), "subsets"),
        (json!({"Failover": {"*": {"Datacenters": ["dc2"]}}}), "failover"),
    ] {
        put(&mut all, "resolver", "db", resolver);
        let text = format!(
            "service \"db\" has an external SNI set; cannot define {what} for external services"
        );
        assert_eq!(refused(&all, "resolver", "db"), text);
    }
    put(&mut all, "resolver", "db", json!({"ConnectTimeout": "3s"}));
    fine(&all, "resolver", "db");
}

#[test]
fn listeners_speak_what_their_services_do() {
    let gateway = |protocol: &str, name: &str| json!({"Listeners": [{"Port": 80, "Protocol": protocol, "Services": [{"Name": name}]}]});
    let mut all = http(&["web"]);
    put(&mut all, "ingress-gateway", "in", gateway("http", "web"));
    fine(&all, "ingress-gateway", "in");
    put(&mut all, "defaults", "web", json!({"Protocol": "grpc"}));
    let text = |listener: &str| {
        format!(
            "service \"web\" has protocol \"grpc\", which does not match defined listener \
             protocol \"{listener}\""
        )
    };
    assert_eq!(refused(&all, "defaults", "web"), text("http"));
    assert_eq!(refused(&all, "proxy-defaults", "global"), text("http"));
    // A gateway of TCP is no matter for the service, but must be right when it is written.
    put(&mut all, "ingress-gateway", "in", gateway("", "web"));
    assert_eq!(refused(&all, "ingress-gateway", "in"), text("tcp"));
    fine(&all, "defaults", "web");
    put(&mut all, "resolver", "web", json!({"ConnectTimeout": "1s"}));
    fine(&all, "resolver", "web");
    put(&mut all, "router", "web", json!({"Routes": []}));
    assert_eq!(refused(&all, "router", "web"), text("tcp"));
    put(&mut all, "ingress-gateway", "in", gateway("http", "*"));
    fine(&all, "ingress-gateway", "in");
    all.remove("ingress-gateway", "in");
    fine(&all, "ingress-gateway", "in");
}

#[test]
fn a_gateway_is_of_one_kind() {
    let mut all = entries(&[("terminating-gateway", "gw", json!({"Services": []}))]);
    fine(&all, "terminating-gateway", "gw");
    put(&mut all, "ingress-gateway", "gw", json!({"Listeners": []}));
    assert_eq!(
        refused(&all, "ingress-gateway", "gw"),
        "cannot create a \"ingress-gateway\" config entry with name \"gw\", a \
         \"terminating-gateway\" config entry with that name already exists"
    );
    all.remove("terminating-gateway", "gw");
    fine(&all, "terminating-gateway", "gw");
    fine(&all, "ingress-gateway", "gw");
}

#[test]
fn permissions_need_requests() {
    let with = json!({"Sources": [{"Name": "a"}, {"Name": "b", "Permissions": [{}]}]});
    let mut all = entries(&[("intentions", "web", with.clone()), ("intentions", "*", with)]);
    let text = "service \"web\" has protocol \"tcp\", which is incompatible with L7 intentions \
                permissions";
    assert_eq!(refused(&all, "intentions", "web"), text);
    assert_eq!(refused(&all, "defaults", "web"), text);
    assert_eq!(refused(&all, "proxy-defaults", "global"), text);
    put(&mut all, "defaults", "web", json!({"Protocol": "http2"}));
    fine(&all, "intentions", "web");
    fine(&all, "proxy-defaults", "global");
    all.remove("service-defaults", "web");
    put(&mut all, "intentions", "web", json!({"Sources": [{"Name": "a", "Permissions": []}]}));
    fine(&all, "defaults", "web");
}

#[test]
fn what_would_take_any_time_is_refused() {
    let name = |layer: usize, side: usize| format!("s{layer}-{side}");
    let global = ("proxy-defaults", "global", json!({"Config": {"protocol": "http"}}));
    // Each layer splits to both of the next: as many parts as two to the number of layers.
    let mut all = entries(std::slice::from_ref(&global));
    for layer in (0..40).rev() {
        for side in 0..2 {
            let next = [name(layer + 1, 0), name(layer + 1, 1)];
            put(&mut all, "splitter", &name(layer, side), even(&[&*next[0], &*next[1]]));
        }
    }
    let text = "discovery chain \"s0-0\" has more than 16384 splits";
    assert_eq!(error(&all, "s0-0"), text);
    assert_eq!(splits(&chain(&all, "s31-0"), "splitter:s31-0.default").len(), 512);
    let mut all = entries(&[global]);
    for at in 0..1000 {
        put(&mut all, "splitter", &name(at, 0), even(&[&name(at + 1, 0)]));
    }
    assert_eq!(
        error(&all, "s0-0"),
        "discovery chain \"s0-0\" has more than 128 splitters in a row"
    );
    assert_eq!(splits(&chain(&all, "s900-0"), "splitter:s900-0.default").len(), 1);
}
