//! Who is in the group, as the brokers tell it, and who no longer is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the client id of every Gantry host has after its address, `ip@gantry#<unique>`.
const GANTRY: &str = "@gantry#";
/// How long a member must be gone from the lists before its locks are released for it: it may only be reconnecting.
const GONE: Duration = Duration::from_secs(1);
/// Most members remembered as gone; their locks end by themselves.
const MOST_GONE: usize = 64;

/// Whether every member is a Gantry host.
pub(crate) fn all_gantry(members: &[String]) -> bool {
    members.iter().all(|id| id.contains(GANTRY))
}

#[derive(Debug, Default)]
pub(crate) struct Roster {
    topics: BTreeMap<Arc<str>, BTreeSet<String>>,
    /// With when each was missed first; none for those of a former life of this host, which are known to be dead.
    gone: VecDeque<(String, Option<Instant>)>,
}

impl Roster {
    /// Clients that were this host in former lives.
    pub(crate) fn former(&mut self, client_ids: impl IntoIterator<Item = String>) {
        self.gone.extend(client_ids.into_iter().map(|id| (id, None)));
        self.bound();
    }

    /// Takes the members a broker of the topic named.
    pub(crate) fn take(&mut self, now: Instant, topic: &Arc<str>, members: &[String]) {
        let members: BTreeSet<String> = members.iter().cloned().collect();
        let before = self.topics.insert(topic.clone(), members).unwrap_or_default();
        let present: BTreeSet<&String> = self.topics.values().flatten().collect();
        self.gone.retain(|(id, _)| !present.contains(id));
        for id in before.into_iter().filter(|id| !present.contains(id)) {
            self.gone.push_back((id, Some(now)));
        }
        self.bound();
    }

    /// Whether a member that a broker of the topic named last is not among these.
    pub(crate) fn misses(&self, topic: &str, members: &[String]) -> bool {
        let before = self.topics.get(topic).into_iter().flatten();
        before.into_iter().any(|id| !members.contains(id))
    }

    pub(crate) fn remove(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Those whose locks may be released for them.
    pub(crate) fn gone(&self, now: Instant) -> impl Iterator<Item = &String> {
        self.gone
            .iter()
            .filter(move |(_, since)| since.is_none_or(|since| now >= since + GONE))
            .map(|(id, _)| id)
    }

    /// Whether a queue that is taken now comes from somebody else; a former life of this host is nobody else.
    pub(crate) fn has_others(&self, topic: &str) -> bool {
        self.gone.iter().any(|(_, since)| since.is_some())
            || self.topics.get(topic).is_some_and(|members| members.len() > 1)
    }

    fn bound(&mut self) {
        while self.gone.len() > MOST_GONE {
            self.gone.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn gantry_hosts_are_known_by_their_client_ids() {
        assert!(all_gantry(&ids(&["10.0.0.1@gantry#77-ab", "h@gantry#1"])));
        assert!(!all_gantry(&ids(&["10.0.0.1@gantry#77-ab", "10.0.0.2@1234#5678"])));
    }

    #[test]
    fn who_is_missed_for_a_second_is_gone_and_comes_back_by_being_named() {
        let (mut roster, topic, now) = (Roster::default(), Arc::<str>::from("t"), Instant::now());
        roster.take(now, &topic, &ids(&["a", "b"]));
        roster.take(now, &topic, &ids(&["a"]));
        assert_eq!(roster.gone(now).count(), 0);
        assert_eq!(roster.gone(now + GONE).collect::<Vec<_>>(), ["b"]);
        roster.take(now + GONE, &topic, &ids(&["a", "b"]));
        assert_eq!(roster.gone(now + 2 * GONE).count(), 0);
    }

    #[test]
    fn a_member_that_one_topic_still_has_is_not_gone() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        let (t, u) = (Arc::<str>::from("t"), Arc::<str>::from("u"));
        roster.take(now, &t, &ids(&["a", "b"]));
        roster.take(now, &u, &ids(&["a", "b"]));
        roster.take(now, &t, &ids(&["a"]));
        assert_eq!(roster.gone(now + GONE).count(), 0);
        roster.take(now, &u, &ids(&["a"]));
        assert_eq!(roster.gone(now + GONE).count(), 1);
    }

    #[test]
    fn former_lives_are_dead_at_once_and_the_list_is_bounded() {
        let mut roster = Roster::default();
        roster.former((0..100).map(|n| n.to_string()));
        assert!(!roster.has_others("t"));
        assert_eq!(roster.gone(Instant::now()).count(), MOST_GONE);
    }
}
