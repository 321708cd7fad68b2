//! Reads a history: one thread reads, some parse, and this one joins the pieces in order.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use super::chunk::Chunk;
use super::join::Joiner;
use super::table::Table;
use anyhow::{Context as _, bail};

/// Bytes that are parsed at once.
const CHUNK: usize = 4 << 20;

/// Pieces that may wait for each parser, and for the joining.
const WAITING: usize = 2;

type Parsed = Result<Chunk, (u32, String)>;

/// Reads a whole history.
///
/// # Errors
/// When it cannot be read, when a line is no event, and when events do not make operations; the error says which line.
pub fn load(from: impl Read + Send) -> anyhow::Result<Table> {
    let parsers = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    std::thread::scope(|scope| {
        let mut texts = Vec::new();
        let mut chunks = Vec::new();
        for number in 0..parsers {
            let (text_to, text_from) = sync_channel::<Vec<u8>>(WAITING);
            let (chunk_to, chunk_from) = sync_channel::<Parsed>(WAITING);
            Builder::new()
                .name(format!("parser-{number}"))
                .spawn_scoped(scope, move || parse(&text_from, &chunk_to))?;
            texts.push(text_to);
            chunks.push(chunk_from);
        }
        let reader = Builder::new().name("reader".to_owned()).spawn_scoped(scope, move || split(from, &texts))?;
        let table = join(&chunks);
        drop(chunks);
        let reading = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        let table = table?;
        reading.context("cannot read the history")?;
        Ok(table)
    })
}

/// Hands out pieces of whole lines in turn, until the end or until nobody listens.
fn split(mut from: impl Read, to: &[SyncSender<Vec<u8>>]) -> std::io::Result<()> {
    let mut rest = Vec::new();
    for to in to.iter().cycle() {
        let mut text = std::mem::take(&mut rest);
        loop {
            let target = u64::try_from(CHUNK).expect("it is small");
            let read = from.by_ref().take(target).read_to_end(&mut text)?;
            if read == 0 {
                if !text.is_empty() {
                    let _ = to.send(text);
                }
                return Ok(());
            }
            if let Some(end) = memchr::memrchr(b'\n', &text) {
                rest = text.split_off(end + 1);
                break;
            }
        }
        if to.send(text).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn parse(from: &Receiver<Vec<u8>>, to: &SyncSender<Parsed>) {
    for text in from {
        if to.send(Chunk::parse(&text)).is_err() {
            return;
        }
    }
}

fn join(chunks: &[Receiver<Parsed>]) -> anyhow::Result<Table> {
    let mut joiner = Joiner::default();
    for from in chunks.iter().cycle() {
        let Ok(chunk) = from.recv() else { break };
        match chunk {
            Ok(chunk) => joiner.add(chunk)?,
            Err((line, error)) => bail!("line {}: {error}", joiner.lines() + line),
        }
    }
    Ok(joiner.finish())
}
