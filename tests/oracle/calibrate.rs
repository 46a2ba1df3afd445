//! Which streams arrive at all, before dockfw has done anything: only of those does silence say that a packet was dropped by it.

use std::time::Duration;

use anyhow::{Result, ensure};
use dockfw_lab::wait_until;
use nix::poll::PollTimeout;

use crate::fixture::OracleFixture;
use crate::frames::{Headers, Tag, frame};
use crate::hear::Ears;
use crate::policies::TRUSTED;
use crate::streams::{Goal, Stream};

/// How long a stream may take until its first packet arrives: bridges and new links take a moment.
const ARRIVAL: Duration = Duration::from_secs(5);
/// No sender of the flood.
const NOBODY: u8 = u8::MAX;

/// The streams that arrive, and those that do not.
pub(crate) fn calibrate(
    fixture: &OracleFixture,
    ears: &mut Ears,
    streams: Vec<Stream>,
) -> Result<[Vec<Stream>; 2]> {
    let mut heard = vec![false; streams.len()];
    let mut round = 0;
    let all = wait_until(ARRIVAL, "for a packet of each stream to arrive", || {
        round += 1;
        let outcome = sound(fixture, ears, &streams, &mut heard, round);
        outcome.map(|()| heard.iter().all(|heard| *heard).then_some(())).transpose()
    });
    if let Ok(Err(error)) = all {
        return Err(error);
    }
    let (arriving, lost): (Vec<_>, Vec<_>) = streams.into_iter().zip(heard).partition(|(_, heard)| *heard);
    let [arriving, lost] =
        [arriving, lost].map(|some| some.into_iter().map(|(stream, _)| stream).collect::<Vec<_>>());
    for stream in &lost {
        // Newer Dockers let nobody in there themselves.
        ensure!(stream.goal == Goal::Direct, "without dockfw, nothing arrives: {stream}");
    }
    Ok([arriving, lost])
}

/// Sends a packet on each stream that was not heard yet, and listens for a moment.
fn sound(
    fixture: &OracleFixture,
    ears: &mut Ears,
    streams: &[Stream],
    heard: &mut [bool],
    round: u16,
) -> Result<()> {
    for (number, stream) in streams.iter().enumerate().filter(|(number, _)| !heard[*number]) {
        let headers = Headers {
            source: TRUSTED[stream.family as usize].parse()?,
            destination: stream.destination,
            transport: stream.transport,
            from: round,
            to: stream.ports[0],
        };
        let sender = fixture.links[stream.link].sender(&fixture.host)?;
        let tag = Tag { sender: NOBODY, stream: number as u8, number: 0 };
        sender.send_frame(&frame(sender.hardware_addresses(), &headers, tag))?;
    }
    for tag in ears.listen(PollTimeout::from(10_u8))?.iter().filter(|tag| tag.sender == NOBODY) {
        heard[usize::from(tag.stream)] = true;
    }
    Ok(())
}
