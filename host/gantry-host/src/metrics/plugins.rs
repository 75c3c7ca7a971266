//! What each plugin has done, and where its versions stand.

use std::fmt;
use std::sync::Arc;

use super::writer::{Labels, Writer};
use crate::group::Listener;
use crate::plugins::{PluginEntry, Selections};
use crate::status::PluginStatus;

/// The states of a breaker, each a number of its own.
const BREAKER: [&str; 3] = ["closed", "probing", "open"];

type Entry = (String, PluginEntry);

pub(super) fn write(writer: &mut Writer<'_>, plugins: &[Entry]) -> fmt::Result {
    let listeners: Vec<(&str, &Arc<Listener>)> =
        plugins.iter().filter_map(|(name, entry)| Some((name.as_str(), entry.listener()?))).collect();
    work(writer, &listeners)?;
    generations(writer, &listeners)?;
    let statuses: Vec<PluginStatus> = plugins.iter().map(|(name, entry)| entry.status(name)).collect();
    versions(writer, &statuses)
}

fn work(writer: &mut Writer<'_>, listeners: &[(&str, &Arc<Listener>)]) -> fmt::Result {
    let ended = listeners.iter().flat_map(|(name, listener)| {
        let by_cause = listener.counters.by_cause();
        by_cause.map(|(outcome, cause, messages)| {
            (vec![("plugin", *name), ("outcome", outcome), ("cause", cause)], messages)
        })
    });
    writer.counters("plugin_messages", "Messages by how they ended and why", ended)?;
    let each = |figure: fn((u64, u64, u64)) -> u64| {
        listeners.iter().map(move |(name, listener)| (of(name), figure(listener.counters.work())))
    };
    writer.counters("plugin_batches", "Batches that ended", each(|(batches, ..)| batches))?;
    writer.counters("plugin_calls", "Calls of consume-message", each(|(_, calls, _)| calls))?;
    writer.counters(
        "plugin_instances_lost",
        "Instances lost to a trap, a deadline or too much memory",
        each(|(.., lost)| lost),
    )?;
    let durations = listeners.iter().map(|(name, listener)| (of(name), listener.counters.durations()));
    writer.histograms(
        "plugin_batch_duration_seconds",
        "What batches took, retries in place included",
        durations,
    )
}

fn generations(writer: &mut Writer<'_>, listeners: &[(&str, &Arc<Listener>)]) -> fmt::Result {
    let generations: Vec<_> =
        listeners.iter().filter_map(|(name, listener)| Some((*name, listener.generation()?))).collect();
    let numbers = generations.iter().map(|(name, (number, ..))| (of(name), *number));
    writer.gauges("plugin_generation", "The generation that serves", numbers)?;
    let idle = generations.iter().map(|(name, (.., pool))| (of(name), pool.idle as u64));
    writer.gauges("plugin_instances_idle", "Instances of the serving generation that are ready", idle)?;
    let in_use = generations.iter().map(|(name, (.., pool))| (of(name), pool.in_use));
    writer.gauges("plugin_instances_in_use", "Instances of the serving generation at work", in_use)?;
    let created = generations.iter().map(|(name, (.., pool))| (of(name), pool.created));
    writer.gauges("plugin_instances_created", "Instances made of the serving generation", created)?;
    let worn = generations.iter().map(|(name, (.., pool))| (of(name), pool.retired_worn));
    writer.gauges(
        "plugin_instances_worn",
        "Instances of the serving generation replaced after many calls",
        worn,
    )
}

fn versions(writer: &mut Writer<'_>, plugins: &[PluginStatus]) -> fmt::Result {
    let states = plugins.iter().map(|plugin| {
        let labels = vec![
            ("plugin", plugin.name.as_str()),
            ("state", plugin.state.as_str()),
            ("version", plugin.version.as_deref().unwrap_or_default()),
            ("hash", plugin.hash.as_deref().unwrap_or_default()),
        ];
        (labels, 1)
    });
    writer.gauges("plugin_info", "The version that serves, and the plugin's state", states)?;
    let swaps = plugins.iter().map(|plugin| (of(&plugin.name), plugin.swaps));
    writer.counters("plugin_swaps", "Times a new version took over", swaps)?;
    let rejections = plugins.iter().map(|plugin| (of(&plugin.name), plugin.rejections));
    writer.counters("plugin_rejections", "Times a version was rejected", rejections)?;
    let selections = |figure: fn(&Selections) -> u64| {
        plugins.iter().filter_map(move |plugin| Some((of(&plugin.name), figure(plugin.selections.as_ref()?))))
    };
    writer.counters("plugin_selections", "Messages a selector was asked about", selections(|of| of.calls))?;
    let fell_back = selections(|of| of.fallbacks);
    writer.counters(
        "plugin_selection_fallbacks",
        "Of these, those it gave no usable answer for",
        fell_back,
    )?;
    let held = plugins.iter().map(|plugin| (of(&plugin.name), u64::from(plugin.held.is_some())));
    writer.gauges("plugin_held", "Whether the file's content is held back", held)?;
    let candidates = plugins.iter().flat_map(|plugin| {
        let role = plugin.candidate.as_ref().map(|candidate| candidate.role);
        ["canary", "shadow"].map(|known| {
            (vec![("plugin", plugin.name.as_str()), ("role", known)], u64::from(role == Some(known)))
        })
    });
    writer.gauges("plugin_candidate", "Whether a version is on trial", candidates)?;
    let tried = plugins.iter().filter_map(|plugin| {
        let candidate = plugin.candidate.as_ref()?;
        let labels = |what| vec![("plugin", plugin.name.as_str()), ("role", candidate.role), ("what", what)];
        let figures = &candidate.figures;
        Some([(labels("ended"), figures.messages), (labels("failed"), figures.failed())])
    });
    writer.gauges("plugin_candidate_messages", "Messages of the version on trial", tried.flatten())?;
    breakers(writer, plugins)
}

fn breakers(writer: &mut Writer<'_>, plugins: &[PluginStatus]) -> fmt::Result {
    let breakers: Vec<_> =
        plugins.iter().filter_map(|plugin| Some((plugin.name.as_str(), plugin.breaker.as_ref()?))).collect();
    let states = breakers.iter().map(|(name, breaker)| {
        let number = BREAKER.iter().position(|state| *state == breaker.state).unwrap_or(0);
        (of(name), number as u64)
    });
    writer.gauges("plugin_breaker", "0 closed, 1 probing, 2 open: its messages wait", states)?;
    let opened = breakers.iter().map(|(name, breaker)| (of(name), breaker.opened));
    writer.counters("plugin_breaker_opened", "Times the breaker opened", opened)
}

fn of(plugin: &str) -> Labels<'_> {
    vec![("plugin", plugin)]
}
