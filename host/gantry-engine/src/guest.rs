//! What the host keeps inside each instance's store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtxView;

use crate::{
    bounded_io::BoundedIo,
    delivery::AtHand,
    granted::{Grants, GuestHttp, Held},
    limits::MemoryLimit,
    output::{Output, Stream},
    wit::{ConsumeContext, HeldContext},
};

/// Handles (streams, pollables) an instance may hold at a time: far more than a listener has use for.
const MAX_HANDLES: usize = 1024;

/// No call takes longer, whatever its deadline.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The host's data beside one instance.
pub(crate) struct GuestState {
    pub(crate) memory: MemoryLimit,
    /// The batch of the call under way; `None` between calls.
    pub(crate) at_hand: Option<AtHand>,
    /// What holds for that batch; of no meaning between calls.
    pub(crate) context: HeldContext,
    /// Where batches are packed that do not lie in one piece; kept from call to call.
    pub(crate) packing: Vec<u8>,
    /// Bytes of the messages it holds as resources (`wasi:messaging`).
    pub(crate) held_bytes: usize,
    /// When the call under way must have ended: waiting in the host (`wasi:io/poll`) keeps to it too.
    pub(crate) deadline: Instant,
    /// What it may touch.
    pub(crate) grants: Arc<Held>,
    plugin: Arc<str>,
    hash_seed: u128,
    table: ResourceTable,
    /// Made when the guest first asks for something of WASI: many never do.
    wasi: Option<WasiCtx>,
    /// Made when the guest first asks for something of `wasi:http`.
    http: Option<Box<GuestHttp>>,
    stdout: Output,
    stderr: Output,
}

impl GuestState {
    pub(crate) fn new(
        plugin: &Arc<str>,
        grants: &Arc<Held>,
        memory_max_bytes: usize,
        hash_seed: u128,
        deadline: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            memory: MemoryLimit::new(memory_max_bytes),
            at_hand: None,
            context: HeldContext::default(),
            packing: Vec::new(),
            held_bytes: 0,
            deadline,
            grants: Arc::clone(grants),
            plugin: Arc::clone(plugin),
            hash_seed,
            table,
            wasi: None,
            http: None,
            stdout: Output::new(Arc::clone(plugin), Stream::Out, grants),
            stderr: Output::new(Arc::clone(plugin), Stream::Err, grants),
        }
    }

    /// Readies the state for a call that begins `now`.
    pub(crate) fn begin_call(&mut self, now: Instant, deadline: Duration) {
        self.deadline = now + deadline.min(FAR);
        self.memory.begin_call();
        self.stdout.begin_call();
        self.stderr.begin_call();
    }

    /// Takes a batch in hand, until `at_hand` is taken.
    pub(crate) fn take_in_hand(&mut self, context: &ConsumeContext<'_>, at_hand: AtHand) {
        self.context.set(context);
        self.at_hand = Some(at_hand);
    }

    /// What the guest wrote last to standard error in this call.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.stderr.tail()
    }

    /// What the guest sees of `wasi:io`.
    pub(crate) fn bounded_io(&mut self) -> BoundedIo<'_> {
        BoundedIo { table: &mut self.table, deadline: self.deadline }
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn table_ref(&self) -> &ResourceTable {
        &self.table
    }

    /// What the guest sees of `wasi:http`.
    pub(crate) fn http(&mut self) -> WasiHttpCtxView<'_> {
        let http = self.http.get_or_insert_default();
        http.view(self.grants.http.as_ref(), &self.plugin, self.deadline, &mut self.table)
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (stdout, stderr, hash_seed) = (&self.stdout, &self.stderr, self.hash_seed);
        let ctx =
            self.wasi.get_or_insert_with(|| wasi_of(&self.grants, &self.plugin, stdout, stderr, hash_seed));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// No arguments, no network, a closed standard input; of environment and directories what is granted.
fn wasi_of(grants: &Grants, plugin: &str, stdout: &Output, stderr: &Output, hash_seed: u128) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .insecure_random_seed(hash_seed)
        .max_random_size(64 * 1024)
        .allow_tcp(false)
        .allow_udp(false)
        .envs(&grants.environment);
    for directory in &grants.directories {
        let perms = if directory.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        if let Err(error) = builder.preopened_dir(&directory.host, &directory.guest, perms) {
            let (host, guest) = (directory.host.display(), &directory.guest);
            tracing::warn!(plugin, "{host} cannot be opened as {guest} and is not there for it: {error:#}");
        }
    }
    builder.build()
}
