//! Templates on made-up interfaces.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn interface(name: &str, address: &str, prefix: u8) -> Interface {
    Interface {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        prefix,
        up: true,
        loopback: name == "lo",
        default: name == "eth0",
        broadcast: name != "lo",
        multicast: name != "lo",
        point_to_point: false,
    }
}

fn network() -> Network {
    Network::of(vec![
        interface("lo", "127.0.0.1", 8),
        interface("lo", "::1", 128),
        interface("docker0", "172.17.0.1", 16),
        interface("eth0", "10.1.2.3", 24),
        interface("eth0", "fe80::1", 64),
        interface("eth1", "203.0.114.9", 29),
        interface("eth1", "2a01:4f8::9", 64),
    ])
}

fn run(text: &str) -> Result<String, TemplateError> {
    expand(text, &network())
}

#[test]
fn common_functions_choose_addresses() {
    for (template, expected) in [
        ("10.0.0.1", "10.0.0.1"),
        ("{{ GetPrivateIP }}", "10.1.2.3"),
        ("{{GetPublicIP}}", "203.0.114.9"),
        ("{{ GetPrivateIPs }}", "10.1.2.3 172.17.0.1"),
        ("{{ GetPublicIPs }}", "203.0.114.9 2a01:4f8::9"),
        ("{{ GetInterfaceIP \"eth1\" }}", "203.0.114.9"),
        ("{{ GetInterfaceIP `lo` }}", "127.0.0.1"),
        ("{{ GetInterfaceIPs \"eth0\" }}", "10.1.2.3"),
        ("{{ GetInterfaceIP \"eth\" }}", ""),
        ("unix:///tmp/{{ GetPrivateIP }}.sock", "unix:///tmp/10.1.2.3.sock"),
        ("{{ GetPrivateIP }} {{ GetPublicIP }}", "10.1.2.3 203.0.114.9"),
    ] {
        assert_eq!(run(template).unwrap(), expected, "{template}");
    }
}

#[test]
fn pipes_filter_and_order() {
    for (pipe, expected) in [
        ("include \"name\" \"^eth\" | include \"type\" \"IPv4\"", "10.1.2.3 203.0.114.9"),
        ("exclude \"flag\" \"loopback\" | exclude \"type\" \"ipv6\" | limit 1", "172.17.0.1"),
        ("include \"network\" \"10.0.0.0/8\"", "10.1.2.3"),
        ("include \"rfc\" \"1918\" | sort \"-address\"", "172.17.0.1 10.1.2.3"),
        ("include \"rfc\" \"1918\" | sort \"default\" | offset 1", "172.17.0.1"),
        ("include \"type\" \"IPv4\" | sort \"size\" | limit 1", "127.0.0.1"),
        ("include \"type\" \"IPv4\" | sort \"-size\" | limit 1", "203.0.114.9"),
        ("include \"name\" \"lo|eth0\" | unique \"name\"", "127.0.0.1 10.1.2.3"),
        ("include \"size\" \"24\" | math \"address\" \"+2\"", "10.1.2.5"),
        ("include \"size\" \"24\" | math \"network\" \"-2\"", "10.1.2.254"),
        ("include \"flags\" \"up|multicast\" | include \"rfc\" \"6890\" | limit 1", "172.17.0.1"),
    ] {
        let text = format!("{{{{ GetAllInterfaces | {pipe} | join \"address\" \" \" }}}}");
        assert_eq!(run(&text).unwrap(), expected, "{text}");
    }
}

#[test]
fn attributes_are_given_as_text() {
    for (name, expected) in [
        ("name", "eth0"),
        ("type", "IPv4"),
        ("network", "10.1.2.0"),
        ("netmask", "255.255.255.0"),
        ("mask_bits", "24"),
        ("size", "256"),
        ("first_usable", "10.1.2.1"),
        ("last_usable", "10.1.2.254"),
        ("hex", "0a010203"),
        ("octets", "10 1 2 3"),
        ("string", "10.1.2.3/24"),
        ("flags", "up|broadcast|multicast"),
    ] {
        let text = format!("{{{{ GetPrivateInterfaces | attr \"{name}\" }}}}");
        assert_eq!(run(&text).unwrap(), expected, "{text}");
    }
}

#[test]
fn mistakes_are_refused_by_name() {
    for (text, expected) in [
        ("{{ GetPrivateIP", "unclosed"),
        ("{{ GetInterfaceIP \"eth0 }}", "unclosed"),
        ("{{ }}", "cannot be used"),
        ("{{ env \"HOME\" }}", "\"env\" is not supported"),
        ("{{ GetAllInterfaces }}", "gives interfaces"),
        ("{{ GetInterfaceIP }}", "\"GetInterfaceIP\" cannot be used like that"),
        ("{{ GetPrivateIP | attr \"name\" }}", "\"attr\" cannot be used like that"),
        ("{{ GetAllInterfaces | attr \"port\" }}", "\"attr\" does not know \"port\""),
        ("{{ GetAllInterfaces | include \"rfc\" \"1\" | attr \"name\" }}", "does not know \"1\""),
        ("{{ GetAllInterfaces | exclude \"x\" \"y\" | attr \"name\" }}", "does not know \"x\""),
        ("{{ GetAllInterfaces | sort \"x\" | attr \"name\" }}", "\"sort\" does not know"),
        ("{{ GetAllInterfaces | limit \"x\" | attr \"name\" }}", "\"limit\" cannot be used"),
    ] {
        let error = run(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

const WORDS: &[&str] = &[
    "{{",
    "}}",
    "|",
    "GetAllInterfaces",
    "GetPrivateIP",
    "include",
    "exclude",
    "sort",
    "math",
    "offset",
    "limit",
    "attr",
    "join",
    "\"address\"",
    "\"network\"",
    "\"-1\"",
    "1",
    "-3",
    "\"::/0\"",
    "\"-99999999999999999999999999999999999999\"",
    "\"",
    "`",
    "\"rfc\"",
    "\"size\"",
    "\"last_usable\"",
    "é",
];

proptest! {
    #[test]
    fn nothing_makes_it_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..12)) {
        let inner = words.join(" ");
        let _ = run(&inner);
        let _ = run(&format!("{{{{ {inner} }}}}"));
        let _ = run(&format!("{{{{ GetAllInterfaces | {inner} }}}}"));
    }
}
