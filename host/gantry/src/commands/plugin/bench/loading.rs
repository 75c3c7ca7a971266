//! From the file's bytes to a plugin: compiled, and out of the cache of compiled code.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gantry_engine::{Engine, EngineConfig, Grants, PluginState};

use super::Plan;
use crate::commands::bench::figure::Figure;

/// Compiling goes on to this long: some components take seconds.
const COMPILING: Duration = Duration::from_secs(3);

/// `compiling` is an engine without a cache.
pub(super) fn measure(
    compiling: &Engine,
    bytes: &[u8],
    grants: &Grants,
    plan: Plan,
) -> anyhow::Result<Vec<Figure>> {
    let (mut compiled, began) = (Vec::new(), Instant::now());
    for _ in 0..plan.rounds {
        compiled.push(load(compiling, bytes, grants)?.took);
        if began.elapsed() > COMPILING {
            break;
        }
    }
    let mut figures = vec![Figure::new("compile", "compiling", "ms", compiled)];
    let directory = Directory::new();
    let engine =
        Engine::new(EngineConfig { cache_dir: Some(directory.0.clone()), ..EngineConfig::default() })?;
    load(&engine, bytes, grants)?;
    let cached =
        (0..plan.rounds).map(|_| load(&engine, bytes, grants)).collect::<anyhow::Result<Vec<_>>>()?;
    // Where the cache cannot be kept there is nothing to measure.
    if cached.iter().all(|load| load.from_cache) {
        let part = |of: fn(&Load) -> f64| cached.iter().map(of).collect();
        figures.push(Figure::new("cached", "compiled code out of the cache", "ms", part(|load| load.took)));
        figures.push(Figure::new("ready", "file to ready, out of the cache", "ms", part(|load| load.whole)));
    }
    Ok(figures)
}

/// One load, in milliseconds.
struct Load {
    from_cache: bool,
    /// Compiling, or reading what was compiled.
    took: f64,
    /// All of it: checks, code, description, first instance.
    whole: f64,
}

fn load(engine: &Engine, bytes: &[u8], grants: &Grants) -> anyhow::Result<Load> {
    let (began, mut code) = (Instant::now(), (false, Duration::ZERO));
    engine.load_plugin(bytes, grants, &mut |state| {
        if let PluginState::Compiled { from_cache, took } = state {
            code = (from_cache, took);
        }
    })?;
    let (from_cache, took) = code;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Load { from_cache, took: ms(took), whole: ms(began.elapsed()) })
}

/// A directory of this process's own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("gantry-plugin-bench-{}", std::process::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is the system's to remove: it lies among its temporary files.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}
