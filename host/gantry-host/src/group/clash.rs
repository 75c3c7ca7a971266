//! Members of a group that do otherwise than this host what all must do alike, such as subscribe.
//!
//! Brokers keep one subscription a group and topic, the newest, and drop topics the last heartbeat did not name: members
//! that differ take messages away from each other, and nothing says so. So the members are asked.

mod compare;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_protocol::body::{ConsumerConnection, ConsumerData};
use tokio::sync::Notify;

use crate::client_instance::ClientInstance;
use compare::{of_group, of_member};

/// How often to look, besides at every change of members.
const INTERVAL: Duration = Duration::from_secs(30);
/// What is seen must be there for so long: a member that has just changed its mind needs a moment to tell the brokers.
const CONFIRMATION: Duration = Duration::from_secs(3);
/// Most members that are asked.
const MOST_ASKED: usize = 16;

/// What is known of clashes, for the group's status; and a bell to look again.
#[derive(Debug, Default)]
pub(super) struct Clashes {
    bell: Notify,
    present: ArcSwap<Vec<String>>,
}

impl Clashes {
    /// Something changed: looks as soon as it can.
    pub(super) fn look(&self) {
        self.bell.notify_one();
    }

    /// The clashes there are, a sentence each.
    pub(super) fn present(&self) -> Vec<String> {
        self.present.load().iter().cloned().collect()
    }
}

/// One way in which a member differs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// The member; none where only the group as a whole is known to differ.
    member: Option<String>,
    /// The sentence.
    text: String,
    /// What it does, and how to mend it.
    fix: &'static str,
}

impl Finding {
    fn of(member: Option<&String>, difference: &str) -> Self {
        let who = member.map_or("a member of the group", String::as_str);
        Self { member: member.cloned(), text: format!("{who} {difference}"), fix: ALIKE }
    }
}

const ALIKE: &str = "a group's members must all subscribe and consume alike, or messages are lost to some of them: \
                     configure them alike, or give them groups of their own";
const TWO_IDS: &str = "both take the same queues; leave the client id out to get a unique one";

/// Looks for clashes as long as the group lives.
pub(super) struct Watch {
    /// The group's name as users have it, for logs.
    name: Arc<str>,
    /// The same as brokers have it.
    group: Arc<str>,
    client: ClientInstance,
    clashes: Arc<Clashes>,
    /// The others, when they were last asked.
    members: BTreeSet<String>,
    found: Vec<Finding>,
}

impl Watch {
    pub(super) fn new(
        name: &Arc<str>,
        group: &Arc<str>,
        client: &ClientInstance,
        clashes: &Arc<Clashes>,
    ) -> Self {
        let (name, group) = (Arc::clone(name), Arc::clone(group));
        let (client, clashes) = (client.clone(), Arc::clone(clashes));
        Self { name, group, client, clashes, members: BTreeSet::new(), found: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        loop {
            let clashes = Arc::clone(&self.clashes);
            let _at_the_latest = tokio::time::timeout(INTERVAL, clashes.bell.notified()).await;
            self.round().await;
        }
    }

    /// Looks; at what is new, a second time before it is told.
    async fn round(&mut self) {
        let Some(mut found) = self.look(false).await else { return };
        if found.iter().any(|finding| !self.found.contains(finding)) {
            tokio::time::sleep(CONFIRMATION).await;
            let Some(again) = self.look(true).await else { return };
            let first = std::mem::replace(&mut found, again);
            found.retain(|finding| first.contains(finding) || self.found.contains(finding));
        }
        self.tell(found);
    }

    fn tell(&mut self, found: Vec<Finding>) {
        let plain = |text: &String| self.client.namespace().unwrap_text(text.clone());
        for Finding { text, fix, .. } in found.iter().filter(|finding| !self.found.contains(finding)) {
            let text = plain(text);
            tracing::warn!(group = %self.name, "{text}; {fix}");
        }
        for Finding { text, .. } in self.found.iter().filter(|finding| !found.contains(finding)) {
            let text = plain(text);
            tracing::info!(group = %self.name, "no longer so: {text}");
        }
        self.clashes.present.store(Arc::new(found.iter().map(|finding| plain(&finding.text)).collect()));
        self.found = found;
    }

    /// What differs now; none when that cannot be learnt. The members themselves are asked when there is a reason to:
    /// they are others than before, what the broker has for the group is not ours, something was found, or `thorough`.
    async fn look(&mut self, thorough: bool) -> Option<Vec<Finding>> {
        let ours = self.client.registered_group(&self.group)?;
        let view = self.client.consumer_connection(&self.group).await;
        let view = view
            .inspect_err(|error| tracing::debug!(group = %self.name, %error, "the members cannot be learnt"))
            .ok()?;
        let own = self.client.client_id();
        let ids = view.connection_set.iter().map(|connection| &connection.client_id);
        let members: BTreeSet<String> = ids.filter(|id| *id != own).cloned().collect();
        let changed = members != self.members;
        self.members = members;
        // One of our own making is unique: there twice, it is a connection the broker does not know to be dead yet.
        let twice = same_id(&view, own).filter(|_| self.client.client_id_is_configured());
        let mut found: Vec<_> = twice.into_iter().collect();
        if self.members.is_empty() {
            return Some(found);
        }
        let merged = of_group(&ours, &view);
        if thorough || changed || !merged.is_empty() || !self.found.is_empty() {
            self.ask_members(&ours, merged, &mut found).await;
        }
        Some(found)
    }

    /// Asks each member. One that does not answer is taken to be as it was; while there is such a one, or one too many
    /// to ask, what the broker has for the group counts too.
    async fn ask_members(&self, ours: &ConsumerData, merged: Vec<String>, found: &mut Vec<Finding>) {
        let (before, mut all) = (found.len(), self.members.len() <= MOST_ASKED);
        for member in self.members.iter().take(MOST_ASKED) {
            match self.client.consumer_running_info(&self.group, member).await {
                Ok(theirs) => {
                    let differences = of_member(ours, &theirs);
                    found.extend(differences.iter().map(|difference| Finding::of(Some(member), difference)));
                }
                Err(error) => {
                    tracing::debug!(group = %self.name, member, %error, "a member does not say what it does");
                    let known = self.found.iter().filter(|finding| finding.member.as_ref() == Some(member));
                    found.extend(known.cloned());
                    all = false;
                }
            }
        }
        if !all && found.len() == before {
            found.extend(merged.iter().map(|difference| Finding::of(None, difference)));
        }
    }
}

/// Two clients of one id take the same queues.
fn same_id(view: &ConsumerConnection, own: &str) -> Option<Finding> {
    let same = view.connection_set.iter().filter(|connection| connection.client_id == own);
    let mut addresses: Vec<_> = same.map(|connection| connection.client_addr.as_str()).collect();
    addresses.sort_unstable();
    (addresses.len() > 1).then(|| Finding {
        member: None,
        text: format!(
            "the client id {own} of this host is also that of another client: they are at {}",
            addresses.join(" and ")
        ),
        fix: TWO_IDS,
    })
}

#[cfg(test)]
mod tests {
    use gantry_protocol::body::Connection;

    use super::*;

    #[test]
    fn an_id_that_is_there_twice_is_found_and_others_are_not() {
        let connection = |id: &str, addr: &str| Connection {
            client_id: id.to_owned(),
            client_addr: addr.to_owned(),
            ..Connection::default()
        };
        let view = |connection_set| ConsumerConnection { connection_set, ..ConsumerConnection::default() };
        let once = view(vec![connection("me", "10.0.0.1:1"), connection("you", "10.0.0.2:1")]);
        assert_eq!(same_id(&once, "me"), None);
        let twice = view(vec![connection("me", "10.0.0.9:7"), connection("me", "10.0.0.1:1")]);
        let text = same_id(&twice, "me").unwrap().text;
        assert!(text.contains("client id me") && text.contains("10.0.0.1:1 and 10.0.0.9:7"), "{text}");
    }
}
