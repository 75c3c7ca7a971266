//! `wasi:io` whose waiting ends with the call: a server that never answers and a pollable that is never ready hold no
//! guest's thread.

use std::{future::Future, time::Instant};

use wasmtime::{
    Trap,
    component::{HasData, Resource, ResourceTable},
};
use wasmtime_wasi::{
    p2::{
        DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult,
        bindings::{
            io::{poll as waiting_poll, streams as waiting},
            sync::io::{poll, streams},
        },
    },
    runtime::in_tokio,
};

/// An instance's handles, and when its call ends.
pub(crate) struct BoundedIo<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) deadline: Instant,
}

impl HasData for BoundedIo<'static> {
    type Data<'a> = BoundedIo<'a>;
}

/// Runs `wait` up to `deadline`; none where it did not end by then.
fn within<T>(deadline: Instant, wait: impl Future<Output = T>) -> Option<T> {
    in_tokio(async { tokio::time::timeout_at(deadline.into(), wait).await.ok() })
}

/// Runs `wait` up to `deadline`, and then fails the way a guest past its deadline does.
fn bounded<T>(deadline: Instant, wait: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    within(deadline, wait).unwrap_or_else(|| Err(Trap::Interrupt.into()))
}

/// The same for what a stream answers.
fn bounded_stream<T>(deadline: Instant, wait: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    within(deadline, wait).unwrap_or_else(|| Err(StreamError::Trap(Trap::Interrupt.into())))
}

impl poll::Host for BoundedIo<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        bounded(self.deadline, waiting_poll::Host::poll(self.table, pollables))
    }
}

impl poll::HostPollable for BoundedIo<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.table, pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        bounded(self.deadline, waiting_poll::HostPollable::block(self.table, pollable))
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

impl streams::Host for BoundedIo<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostInputStream for BoundedIo<'_> {
    fn read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::read(self.table, stream, len)
    }

    fn blocking_read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        bounded_stream(self.deadline, waiting::HostInputStream::blocking_read(self.table, stream, len))
    }

    fn skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::skip(self.table, stream, len)
    }

    fn blocking_skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        bounded_stream(self.deadline, waiting::HostInputStream::blocking_skip(self.table, stream, len))
    }

    fn subscribe(&mut self, stream: Input) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostInputStream::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Input) -> wasmtime::Result<()> {
        bounded(self.deadline, waiting::HostInputStream::drop(self.table, stream))
    }
}

impl streams::HostOutputStream for BoundedIo<'_> {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        streams::HostOutputStream::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        let write = waiting::HostOutputStream::blocking_write_and_flush(self.table, stream, bytes);
        bounded_stream(self.deadline, write)
    }

    fn write_zeroes(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(self.table, stream, len)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        let write = waiting::HostOutputStream::blocking_write_zeroes_and_flush(self.table, stream, len);
        bounded_stream(self.deadline, write)
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        bounded_stream(self.deadline, waiting::HostOutputStream::blocking_flush(self.table, stream))
    }

    fn splice(&mut self, to: Output, from: Input, len: u64) -> StreamResult<u64> {
        streams::HostOutputStream::splice(self.table, to, from, len)
    }

    fn blocking_splice(&mut self, to: Output, from: Input, len: u64) -> StreamResult<u64> {
        bounded_stream(self.deadline, waiting::HostOutputStream::blocking_splice(self.table, to, from, len))
    }

    fn subscribe(&mut self, stream: Output) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Output) -> wasmtime::Result<()> {
        bounded(self.deadline, waiting::HostOutputStream::drop(self.table, stream))
    }
}
