//! Who may be in a pool: rules against clusters that run into each other by mistake.

use lictor_types::member::Member;

/// What this agent is, as far as others must fit to it.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) datacenter: String,
}

impl Own {
    /// Whether a member may be in the pool of this datacenter.
    pub(crate) fn accepts(&self, member: &Member) -> Result<(), String> {
        let name = &member.name;
        let id = member.id();
        if !id.is_empty() && id.eq_ignore_ascii_case(&self.id) && **name != *self.name {
            return Err(format!(
                "Member '{name}' has conflicting node ID '{id}' with this agent's ID"
            ));
        }
        let datacenter = member.datacenter();
        let known = member.is_client() || member.server().is_some();
        if known && datacenter != self.datacenter {
            return Err(format!("Member '{name}' part of wrong datacenter '{datacenter}'"));
        }
        let segment = member.tag("segment");
        if !segment.is_empty() {
            return Err(format!("Member '{name}' part of wrong segment '{segment}' (expected '')"));
        }
        Ok(())
    }
}

/// Whether a member may be in the pool of all datacenters.
pub(crate) fn accepts_wan(member: &Member) -> Result<(), String> {
    match member.server() {
        Some(_) => Ok(()),
        None => Err(format!("Member '{}' is not a server", member.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members;
    use crate::testing::config;

    fn other(change: impl FnOnce(&mut Member)) -> Member {
        let mut config = config();
        config.node_name = "other".into();
        config.node_id = "22222222-2222-3333-4444-555555555555".to_owned();
        config.build.version = "1.2.0".to_owned();
        let mut member = members::own(&config, false, 1);
        change(&mut member);
        member
    }

    #[test]
    fn strangers_stay_outside() {
        let own =
            Own { name: "n".into(), id: config().node_id.clone(), datacenter: "dc1".to_owned() };
        let refused = |change: fn(&mut Member)| own.accepts(&other(change)).unwrap_err();
        assert_eq!(own.accepts(&other(|_| {})), Ok(()));
        assert_eq!(
            refused(|m| drop(m.tags.insert("dc".into(), "dc2".into()))),
            "Member 'other' part of wrong datacenter 'dc2'"
        );
        assert_eq!(
            refused(|m| drop(m.tags.insert("segment".into(), "a".into()))),
            "Member 'other' part of wrong segment 'a' (expected '')"
        );
        let same = "11111111-2222-3333-4444-555555555555";
        let twin = other(|m| drop(m.tags.insert("id".into(), same.into())));
        assert_eq!(
            own.accepts(&twin),
            Err(format!("Member 'other' has conflicting node ID '{same}' with this agent's ID"))
        );
        assert_eq!(accepts_wan(&twin), Ok(()));
        let client = other(|m| drop(m.tags.insert("role".into(), "node".into())));
        assert_eq!(accepts_wan(&client), Err("Member 'other' is not a server".to_owned()));
    }
}
