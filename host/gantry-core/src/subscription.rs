//! What a group's listeners want: one union for the brokers, and the way of each message to its listener.
//!
//! A group consumes each message once. Where two of its listeners want the same message, the one named first gets it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gantry_protocol::properties::keys;
use gantry_protocol::tag::{self, TagExpression};
use gantry_protocol::{MessageExt, names};

use crate::config::{check_batch_max_size, check_max_reconsume_times};
use crate::id::ListenerId;
use crate::listener::{FilterExpression, ListenerSpec, SUB_ALL, Subscription, SubscriptionError};
use crate::together::Together;

/// A group's subscription to one topic, the union of what its listeners want (RocketMQ: SubscriptionData).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSubscription {
    /// The topic.
    pub topic: Arc<str>,
    /// The union: `*`, tags in their order joined by ` || `, or the one SQL92 condition.
    pub expression: FilterExpression,
    /// The tags; none for `*` and SQL92 (tagsSet).
    pub tags: Vec<String>,
    /// Java's hash codes of the tags, in the same order (codeSet).
    pub codes: Vec<i32>,
    /// Milliseconds since the Unix epoch at which it last changed, always growing (subVersion).
    pub sub_version: u64,
}

/// What a new set of listeners changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SubscriptionChange {
    pub(crate) added: Vec<Arc<str>>,
    pub(crate) removed: Vec<Arc<str>>,
    pub(crate) changed: Vec<Arc<str>>,
}

impl SubscriptionChange {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// A listener with the group's defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) batch_max_size: usize,
    pub(crate) max_reconsume_times: i32,
    pub(crate) paused: bool,
    pub(crate) together: Together,
}

/// What a listener has to do with one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    listener: usize,
    filter: Filter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Tags(TagExpression),
    /// Only the broker can tell; what it hands out is wanted.
    Sql92(String),
}

impl Filter {
    /// The tags are looked up only where they matter: that is a walk through the message's properties.
    fn matches<'m>(&self, tags: impl FnOnce() -> Option<&'m str>) -> bool {
        match self {
            Filter::Sql92(_) | Filter::Tags(TagExpression::All) => true,
            Filter::Tags(expression) => expression.matches(tags()),
        }
    }
}

#[derive(Debug, Clone)]
struct Topic {
    subscription: Arc<TopicSubscription>,
    routes: Vec<Route>,
}

/// The group's subscriptions and who of its listeners gets what.
#[derive(Debug)]
pub(crate) struct SubscriptionTable {
    retry_topic: Arc<str>,
    /// Whether failed messages come again through the retry topic: in clustering groups.
    with_retry_topic: bool,
    topics: BTreeMap<Arc<str>, Topic>,
    listeners: Vec<Listener>,
    last_version: u64,
}

/// Who gets the messages of one topic.
pub(crate) struct TopicRoutes<'t> {
    name: &'t Arc<str>,
    routes: &'t [Route],
}

impl<'t> TopicRoutes<'t> {
    /// The listener of a message with these tags, and the topic's name.
    pub(crate) fn route<'m>(&self, tags: impl Fn() -> Option<&'m str>) -> Option<(usize, &'t Arc<str>)> {
        let first = self.routes.iter().find(|route| route.filter.matches(&tags))?;
        Some((first.listener, self.name))
    }
}

/// What a listener takes from the group where it says nothing itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerDefaults {
    pub(crate) batch_max_size: u32,
    pub(crate) max_reconsume_times: u32,
    pub(crate) calls_together: u32,
}

impl SubscriptionTable {
    pub(crate) fn new(consumer_group: &str, with_retry_topic: bool) -> Self {
        Self {
            retry_topic: names::retry_topic(consumer_group).into(),
            with_retry_topic,
            topics: BTreeMap::new(),
            listeners: Vec::new(),
            last_version: 0,
        }
    }

    pub(crate) fn retry_topic(&self) -> &Arc<str> {
        &self.retry_topic
    }

    pub(crate) fn is_retry(&self, topic: &str) -> bool {
        *self.retry_topic == *topic
    }

    pub(crate) fn subscription(&self, topic: &str) -> Option<&Arc<TopicSubscription>> {
        self.topics.get(topic).map(|topic| &topic.subscription)
    }

    pub(crate) fn subscriptions(&self) -> Arc<[Arc<TopicSubscription>]> {
        self.topics.values().map(|topic| topic.subscription.clone()).collect()
    }

    pub(crate) fn listener(&self, index: usize) -> Option<&Listener> {
        self.listeners.get(index)
    }

    /// A listener's place in the table.
    pub(crate) fn place_of(&self, id: ListenerId) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.id == id)
    }

    pub(crate) fn listener_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.id == id)
    }

    /// Who gets the messages of a topic, if it is subscribed.
    pub(crate) fn topic(&self, topic: &str) -> Option<TopicRoutes<'_>> {
        let (name, topic) = self.topics.get_key_value(topic)?;
        Some(TopicRoutes { name, routes: &topic.routes })
    }

    /// Who of the listeners would get this message, and the topic it counts as: its own, or the one it was first sent to,
    /// where it lies in the retry topic or the dead-letter topic.
    pub(crate) fn listener_of(&self, message: &MessageExt) -> Option<(ListenerId, Arc<str>)> {
        let route = |topic: &str| self.topic(topic)?.route(|| message.tags());
        let (place, topic) =
            route(message.topic()).or_else(|| route(message.property(keys::RETRY_TOPIC)?))?;
        Some((self.listener(place)?.id, topic.clone()))
    }

    /// Whether a listener of the topic is paused.
    pub(crate) fn has_paused(&self, topic: &str) -> bool {
        let paused = |route: &Route| self.listener(route.listener).is_some_and(|listener| listener.paused);
        self.topics.get(topic).is_some_and(|topic| topic.routes.iter().any(paused))
    }

    /// Takes a new set of listeners in place of the present one; nothing changes when it is refused.
    pub(crate) fn replace(
        &mut self,
        now_ms: u64,
        defaults: ListenerDefaults,
        specs: &[ListenerSpec],
    ) -> Result<SubscriptionChange, SubscriptionError> {
        let listeners = check_listeners(defaults, specs)?;
        let mut routes = self.collect_routes(specs)?;
        if !specs.is_empty() && self.with_retry_topic {
            routes.insert(self.retry_topic.clone(), Vec::new());
        }
        let mut unions = BTreeMap::new();
        for (topic, routes) in &routes {
            unions.insert(topic.clone(), unite(topic, routes, specs)?);
        }
        self.listeners = listeners;
        Ok(self.install(now_ms, routes, unions))
    }

    fn collect_routes(
        &self,
        specs: &[ListenerSpec],
    ) -> Result<BTreeMap<Arc<str>, Vec<Route>>, SubscriptionError> {
        let mut routes: BTreeMap<Arc<str>, Vec<Route>> = BTreeMap::new();
        for (listener, spec) in specs.iter().enumerate() {
            let id = spec.id;
            if spec.subscriptions.is_empty() {
                return Err(SubscriptionError::NoTopic { id });
            }
            for Subscription { topic, expression } in &spec.subscriptions {
                names::check_topic(topic).map_err(|error| SubscriptionError::BadTopic { id, error })?;
                if self.is_retry(topic) {
                    return Err(SubscriptionError::OwnRetryTopic { id, topic: topic.clone() });
                }
                let filter = parse(id, topic, expression)?;
                let known = self.topics.get_key_value(topic.as_str()).map(|(name, _)| name.clone());
                let of_topic = routes.entry(known.unwrap_or_else(|| topic.as_str().into())).or_default();
                if of_topic.iter().any(|route| route.listener == listener) {
                    return Err(SubscriptionError::TopicTwice { id, topic: topic.clone() });
                }
                of_topic.push(Route { listener, filter });
            }
        }
        Ok(routes)
    }

    fn install(
        &mut self,
        now_ms: u64,
        routes: BTreeMap<Arc<str>, Vec<Route>>,
        mut unions: BTreeMap<Arc<str>, FilterExpression>,
    ) -> SubscriptionChange {
        let mut change = SubscriptionChange::default();
        let version = now_ms.max(self.last_version.saturating_add(1));
        let mut former = std::mem::take(&mut self.topics);
        for (topic, routes) in routes {
            let Some(expression) = unions.remove(&topic) else { continue };
            let subscription = match former.remove(&topic) {
                Some(old) if old.subscription.expression == expression => old.subscription,
                old => {
                    let list = if old.is_some() { &mut change.changed } else { &mut change.added };
                    list.push(topic.clone());
                    Arc::new(TopicSubscription::new(topic.clone(), expression, version))
                }
            };
            self.topics.insert(topic, Topic { subscription, routes });
        }
        change.removed = former.into_keys().collect();
        if !change.is_empty() {
            self.last_version = version;
        }
        change
    }
}

fn check_listeners(
    defaults: ListenerDefaults,
    specs: &[ListenerSpec],
) -> Result<Vec<Listener>, SubscriptionError> {
    let mut seen = BTreeSet::new();
    let mut listeners = Vec::with_capacity(specs.len());
    for spec in specs {
        let id = spec.id;
        if !seen.insert(id) {
            return Err(SubscriptionError::ListenerTwice { id });
        }
        let batch_max_size = spec.batch_max_size.unwrap_or(defaults.batch_max_size);
        let max_reconsume_times = spec.max_reconsume_times.unwrap_or(defaults.max_reconsume_times);
        check_batch_max_size(batch_max_size)
            .and_then(|()| check_max_reconsume_times(max_reconsume_times))
            .map_err(|error| SubscriptionError::Setting { id, error })?;
        listeners.push(Listener {
            id,
            batch_max_size: batch_max_size as usize,
            max_reconsume_times: i32::try_from(max_reconsume_times).unwrap_or(i32::MAX),
            paused: spec.paused,
            together: Together::new(defaults.calls_together),
        });
    }
    Ok(listeners)
}

fn parse(id: ListenerId, topic: &str, expression: &FilterExpression) -> Result<Filter, SubscriptionError> {
    let empty = || SubscriptionError::EmptyExpression {
        id,
        topic: topic.to_owned(),
        kind: expression.kind(),
        text: expression.text().to_owned(),
    };
    match expression {
        FilterExpression::Tag(text) => match TagExpression::parse(text).map_err(|_| empty())? {
            TagExpression::Tags(tags) if tags.contains(SUB_ALL) => Ok(Filter::Tags(TagExpression::All)),
            parsed => Ok(Filter::Tags(parsed)),
        },
        FilterExpression::Sql92(text) if text.trim().is_empty() => Err(empty()),
        FilterExpression::Sql92(text) => Ok(Filter::Sql92(text.trim().to_owned())),
    }
}

/// What the brokers are asked for on behalf of all. The retry topic has no routes of its own and is wanted whole.
fn unite(
    topic: &str,
    routes: &[Route],
    specs: &[ListenerSpec],
) -> Result<FilterExpression, SubscriptionError> {
    let Some((first, rest)) = routes.split_first() else {
        return Ok(FilterExpression::Tag(SUB_ALL.to_owned()));
    };
    let mut union = first.filter.clone();
    for route in rest {
        union = match (union, &route.filter) {
            (Filter::Tags(TagExpression::Tags(mut all)), Filter::Tags(TagExpression::Tags(more))) => {
                all.extend(more.iter().cloned());
                Filter::Tags(TagExpression::Tags(all))
            }
            (Filter::Tags(_), Filter::Tags(_)) => Filter::Tags(TagExpression::All),
            (Filter::Sql92(one), Filter::Sql92(other)) if one == *other => Filter::Sql92(one),
            _ => {
                let id_of = |route: &Route| specs.get(route.listener).map_or(ListenerId(0), |spec| spec.id);
                return Err(SubscriptionError::Irreconcilable {
                    first: id_of(first),
                    second: id_of(route),
                    topic: topic.to_owned(),
                });
            }
        };
    }
    Ok(match union {
        Filter::Sql92(text) => FilterExpression::Sql92(text),
        Filter::Tags(TagExpression::All) => FilterExpression::Tag(SUB_ALL.to_owned()),
        Filter::Tags(TagExpression::Tags(tags)) => {
            FilterExpression::Tag(tags.into_iter().collect::<Vec<_>>().join(" || "))
        }
    })
}

impl TopicSubscription {
    fn new(topic: Arc<str>, expression: FilterExpression, sub_version: u64) -> Self {
        let tags: Vec<String> = match &expression {
            FilterExpression::Sql92(_) => Vec::new(),
            FilterExpression::Tag(text) if text == SUB_ALL => Vec::new(),
            FilterExpression::Tag(text) => text.split(" || ").map(str::to_owned).collect(),
        };
        let codes = tags.iter().map(|tag| tag::hash_code(tag)).collect();
        Self { topic, expression, tags, codes, sub_version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: ListenerDefaults =
        ListenerDefaults { batch_max_size: 1, max_reconsume_times: 16, calls_together: 1 };

    fn tag(topic: &str, text: &str) -> Subscription {
        Subscription { topic: topic.to_owned(), expression: FilterExpression::Tag(text.to_owned()) }
    }

    fn sql(topic: &str, text: &str) -> Subscription {
        Subscription { topic: topic.to_owned(), expression: FilterExpression::Sql92(text.to_owned()) }
    }

    fn spec(id: u64, subscriptions: &[Subscription]) -> ListenerSpec {
        ListenerSpec::new(ListenerId(id), subscriptions.to_vec())
    }

    fn table(specs: &[ListenerSpec]) -> SubscriptionTable {
        let mut table = SubscriptionTable::new("g", true);
        table.replace(1_000, DEFAULTS, specs).unwrap();
        table
    }

    fn refused(specs: &[ListenerSpec]) -> SubscriptionError {
        SubscriptionTable::new("g", true).replace(1_000, DEFAULTS, specs).unwrap_err()
    }

    fn union(table: &SubscriptionTable, topic: &str) -> String {
        table.subscription(topic).unwrap().expression.text().to_owned()
    }

    fn winner(table: &SubscriptionTable, topic: &str, tags: Option<&str>) -> Option<usize> {
        table.topic(topic)?.route(|| tags).map(|(listener, _)| listener)
    }

    #[test]
    fn tags_of_several_listeners_are_united_with_javas_hash_codes() {
        let table = table(&[spec(1, &[tag("t", "TagB || x")]), spec(2, &[tag("t", " TagA||TagB ")])]);
        assert_eq!(union(&table, "t"), "TagA || TagB || x");
        assert_eq!(table.subscription("t").unwrap().codes, [2_598_919, 2_598_920, 120]);
        assert_eq!(union(&table, "%RETRY%g"), "*");
    }

    #[test]
    fn a_star_swallows_every_tag() {
        for other in ["*", "", "a || *"] {
            let table = table(&[spec(1, &[tag("t", "a")]), spec(2, &[tag("t", other)])]);
            assert_eq!(union(&table, "t"), "*");
            assert!(table.subscription("t").unwrap().codes.is_empty());
        }
    }

    #[test]
    fn the_listener_named_first_wins_a_message_both_want() {
        let table = table(&[spec(7, &[tag("t", "a || b")]), spec(3, &[tag("t", "b || c"), tag("u", "*")])]);
        assert_eq!(winner(&table, "t", Some("a")), Some(0));
        assert_eq!(winner(&table, "t", Some("b")), Some(0));
        assert_eq!(winner(&table, "t", Some("c")), Some(1));
        assert_eq!(winner(&table, "t", Some("d")), None);
        assert_eq!(winner(&table, "t", None), None);
        assert_eq!(winner(&table, "u", None), Some(1));
        assert_eq!(winner(&table, "unknown", None), None);
    }

    #[test]
    fn only_what_changes_gets_a_new_version_and_versions_always_grow() {
        let mut table = table(&[spec(1, &[tag("t", "a"), tag("u", "*")])]);
        let version = |table: &SubscriptionTable, topic: &str| table.subscription(topic).unwrap().sub_version;
        assert_eq!(version(&table, "t"), 1_000);
        let change = table.replace(500, DEFAULTS, &[spec(1, &[tag("t", "a||b"), tag("v", "*")])]).unwrap();
        let names = |topics: &[&str]| topics.iter().map(|&topic| topic.into()).collect::<Vec<Arc<str>>>();
        assert_eq!((change.added, change.removed), (names(&["v"]), names(&["u"])));
        assert_eq!(change.changed, names(&["t"]));
        assert_eq!(
            (version(&table, "t"), version(&table, "v"), version(&table, "%RETRY%g")),
            (1_001, 1_001, 1_000)
        );
        let same = table.replace(9_000, DEFAULTS, &[spec(2, &[tag("v", ""), tag("t", "b || a")])]).unwrap();
        assert!(same.is_empty(), "a union that reads the same is the same: {same:?}");
        assert_eq!(version(&table, "t"), 1_001);
    }

    #[test]
    fn without_listeners_nothing_is_subscribed_not_even_retries() {
        let mut table = table(&[spec(1, &[tag("t", "a")])]);
        let change = table.replace(2_000, DEFAULTS, &[]).unwrap();
        assert_eq!(change.removed.len(), 2);
        assert_eq!(table.subscriptions().len(), 0);
    }

    #[test]
    fn one_sql_condition_may_be_shared_and_nothing_else_joined_with_it() {
        let table = table(&[spec(1, &[sql("t", "a > 3")]), spec(2, &[sql("t", " a > 3 ")])]);
        assert_eq!(table.subscription("t").unwrap().expression, FilterExpression::Sql92("a > 3".to_owned()));
        assert_eq!(winner(&table, "t", None), Some(0));
        for other in [sql("t", "a > 4"), tag("t", "*")] {
            let error = refused(&[spec(1, &[sql("t", "a > 3")]), spec(2, &[other])]);
            assert!(
                matches!(error, SubscriptionError::Irreconcilable { first: ListenerId(1), .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn unsound_listeners_are_refused_and_change_nothing() {
        let topic = [tag("t", "*")];
        assert!(matches!(
            refused(&[spec(1, &topic), spec(1, &topic)]),
            SubscriptionError::ListenerTwice { .. }
        ));
        assert!(matches!(refused(&[spec(1, &[])]), SubscriptionError::NoTopic { .. }));
        assert!(matches!(
            refused(&[spec(1, &[tag("t", "a"), tag("t", "b")])]),
            SubscriptionError::TopicTwice { .. }
        ));
        assert!(matches!(refused(&[spec(1, &[tag("a b", "*")])]), SubscriptionError::BadTopic { .. }));
        assert!(matches!(
            refused(&[spec(1, &[tag("%RETRY%g", "*")])]),
            SubscriptionError::OwnRetryTopic { .. }
        ));
        assert!(matches!(refused(&[spec(1, &[tag("t", "||")])]), SubscriptionError::EmptyExpression { .. }));
        assert!(matches!(refused(&[spec(1, &[sql("t", " ")])]), SubscriptionError::EmptyExpression { .. }));
        let greedy = ListenerSpec { batch_max_size: Some(1025), ..spec(1, &topic) };
        assert!(matches!(refused(&[greedy]), SubscriptionError::Setting { .. }));

        let mut table = table(&[spec(1, &topic)]);
        assert!(table.replace(2_000, DEFAULTS, &[spec(1, &[])]).is_err());
        assert_eq!(winner(&table, "t", None), Some(0));
    }
}
