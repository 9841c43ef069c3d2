//! `members`: who is in the gossip pool.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::flags::{Kind, flag};
use super::output::{columns, row};
use super::remote::client_or_fail;
use super::{Call, Command, Exit, fail, out};

/// `lictor members`.
pub(super) const COMMAND: Command = Command {
    path: "members",
    synopsis: "Lists the members of the cluster",
    operands: "[options]",
    about: "Lists the agents that the queried agent knows, with their state.",
    flags: &[
        flag("detailed", Kind::Bool, "Show all tags of each member."),
        flag("segment", Kind::Text, "Only members of this segment."),
        flag("status", Kind::Text, "Only members whose state matches this regular expression."),
        flag("wan", Kind::Bool, "The servers of all datacenters instead."),
    ],
    client: true,
    server: false,
    run: |call| Box::pin(run(call)),
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    addr: String,
    port: u16,
    tags: Option<BTreeMap<String, String>>,
    status: u8,
    #[serde(default)]
    delegate_cur: u8,
}

impl Member {
    const fn state(&self) -> &'static str {
        match self.status {
            1 => "alive",
            2 => "leaving",
            3 => "left",
            4 => "failed",
            _ => "none",
        }
    }

    fn tag(&self, name: &str) -> &str {
        self.tags.as_ref().and_then(|t| t.get(name)).map_or("", String::as_str)
    }

    fn segment(&self) -> &str {
        match (self.tag("role"), self.tag("segment")) {
            ("consul", _) => "<all>",
            (_, "") => "<default>",
            (_, segment) => segment,
        }
    }

    fn address(&self) -> String {
        if self.addr.contains(':') {
            format!("[{}]:{}", self.addr, self.port)
        } else {
            format!("{}:{}", self.addr, self.port)
        }
    }
}

async fn run(call: Call) -> Exit {
    let pattern = call.parsed.text("status").unwrap_or(".*");
    let status = match regex::Regex::new(pattern) {
        Ok(status) => status,
        Err(error) => return fail(format!("Failed to compile status regexp: {error}")),
    };
    let client = client_or_fail!(call);
    let mut request = client
        .get("/v1/agent/members")
        .pair_if("segment", call.parsed.text("segment").unwrap_or("_all"));
    if call.parsed.is_set("wan") {
        request = client.get("/v1/agent/members").pair("wan", "1");
    }
    let mut members: Vec<Member> = match client.call_json(request).await {
        Ok(members) => members,
        Err(error) => return fail(format!("Error retrieving members: {error}")),
    };
    members.retain(|m| status.is_match(m.state()));
    if members.is_empty() {
        return 2;
    }
    members.sort_by(|a, b| (a.segment(), &a.name).cmp(&(b.segment(), &b.name)));
    let detailed = call.parsed.is_set("detailed");
    out(&columns(&if detailed { detailed_table(&members) } else { table(&members) }));
    0
}

fn table(members: &[Member]) -> Vec<Vec<String>> {
    let head = ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"];
    let mut rows = vec![row(head)];
    rows.extend(members.iter().map(|m| {
        let build = m.tag("build").split(':').next().unwrap_or("");
        let kind = match m.tag("role") {
            "consul" => "server",
            "node" => "client",
            _ => "unknown",
        };
        let protocol = match m.tag("vsn") {
            "" => m.delegate_cur.to_string(),
            vsn => vsn.to_owned(),
        };
        let address = m.address();
        let cells: [&str; 8] = [
            &m.name,
            &address,
            m.state(),
            kind,
            if build.is_empty() { "< 0.3" } else { build },
            &protocol,
            m.tag("dc"),
            m.segment(),
        ];
        row(cells)
    }));
    rows
}

fn detailed_table(members: &[Member]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["Node", "Address", "Status", "Tags"])];
    rows.extend(members.iter().map(|m| {
        let shown = |(k, v): (&String, &String)| match k.as_str() {
            "segment" => format!("{k}={}", m.segment()),
            _ => format!("{k}={v}"),
        };
        let tags: Vec<String> = m.tags.iter().flatten().map(shown).collect();
        row([&m.name, &m.address(), m.state(), &tags.join(",")])
    }));
    rows
}
