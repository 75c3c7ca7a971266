use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::sync::lock;

/// A queue as the lock table knows it: whether it exists is nobody's business here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockedQueue {
    pub(crate) topic: String,
    pub(crate) broker_name: String,
    pub(crate) queue_id: i32,
}

#[derive(Debug)]
struct Holder {
    client_id: String,
    renewed_ms: i64,
}

/// Which client of which group may consume a queue (RocketMQ: RebalanceLockManager).
#[derive(Debug)]
pub(crate) struct Locks {
    groups: Mutex<HashMap<String, HashMap<LockedQueue, Holder>>>,
    lease_ms: i64,
    limit: usize,
}

impl Locks {
    pub(crate) fn new(lease: Duration, limit: usize) -> Self {
        Self { groups: Mutex::default(), lease_ms: crate::clock::millis(lease.as_millis()), limit }
    }

    /// Locks or renews what is free, expired or the client's own, and answers that.
    pub(crate) fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: impl IntoIterator<Item = LockedQueue>,
        now_ms: i64,
    ) -> Vec<LockedQueue> {
        let mut groups = lock(&self.groups);
        let mut held: usize = groups.values().map(HashMap::len).sum();
        let table = groups.entry(group.to_owned()).or_default();
        let mut locked = Vec::new();
        for queue in queues {
            match table.get_mut(&queue) {
                Some(holder) if holder.client_id == client_id => holder.renewed_ms = now_ms,
                Some(holder) if now_ms - holder.renewed_ms <= self.lease_ms => continue,
                None if held >= self.limit => continue,
                known => {
                    held += usize::from(known.is_none());
                    let holder = Holder { client_id: client_id.to_owned(), renewed_ms: now_ms };
                    table.insert(queue.clone(), holder);
                }
            }
            locked.push(queue);
        }
        locked
    }

    /// Frees the client's own locks among the queues.
    pub(crate) fn unlock(&self, group: &str, client_id: &str, queues: impl IntoIterator<Item = LockedQueue>) {
        let mut groups = lock(&self.groups);
        let Some(table) = groups.get_mut(group) else { return };
        for queue in queues {
            if table.get(&queue).is_some_and(|holder| holder.client_id == client_id) {
                table.remove(&queue);
            }
        }
        if table.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether the group holds any lock that is not expired: it then counts as an orderly one.
    pub(crate) fn any_held(&self, group: &str, now_ms: i64) -> bool {
        let groups = lock(&self.groups);
        let Some(table) = groups.get(group) else { return false };
        table.values().any(|holder| now_ms - holder.renewed_ms <= self.lease_ms)
    }

    /// Forgets expired locks, so that the table holds what is alive.
    pub(crate) fn sweep(&self, now_ms: i64) {
        let mut groups = lock(&self.groups);
        groups.retain(|_, table| {
            table.retain(|_, holder| now_ms - holder.renewed_ms <= self.lease_ms);
            !table.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> LockedQueue {
        LockedQueue { topic: "t".to_owned(), broker_name: "b".to_owned(), queue_id }
    }

    fn locks() -> Locks {
        Locks::new(Duration::from_secs(60), 100)
    }

    #[test]
    fn a_held_queue_is_left_out_and_a_free_one_granted() {
        let locks = locks();
        assert_eq!(locks.lock("g", "a", [queue(0)], 0), [queue(0)]);
        assert_eq!(locks.lock("g", "b", [queue(0), queue(1)], 0), [queue(1)]);
        assert_eq!(locks.lock("other", "b", [queue(0)], 0), [queue(0)]);
    }

    #[test]
    fn a_lease_ends_sixty_seconds_after_its_last_renewal() {
        let locks = locks();
        locks.lock("g", "a", [queue(0)], 0);
        locks.lock("g", "a", [queue(0)], 30_000);
        assert!(locks.lock("g", "b", [queue(0)], 90_000).is_empty());
        assert_eq!(locks.lock("g", "b", [queue(0)], 90_001), [queue(0)]);
    }

    #[test]
    fn only_the_holder_unlocks() {
        let locks = locks();
        locks.lock("g", "a", [queue(0)], 0);
        locks.unlock("g", "b", [queue(0)]);
        assert!(locks.lock("g", "b", [queue(0)], 0).is_empty());
        locks.unlock("g", "a", [queue(0)]);
        assert!(!locks.any_held("g", 0));
        assert_eq!(locks.lock("g", "b", [queue(0)], 0), [queue(0)]);
    }

    #[test]
    fn a_full_table_grants_nothing_new_but_renews() {
        let locks = Locks::new(Duration::from_secs(60), 1);
        assert_eq!(locks.lock("g", "a", [queue(0), queue(1)], 0), [queue(0)]);
        assert_eq!(locks.lock("g", "a", [queue(0)], 1), [queue(0)]);
        locks.sweep(60_002);
        assert_eq!(locks.lock("g", "a", [queue(1)], 60_002), [queue(1)]);
    }
}
