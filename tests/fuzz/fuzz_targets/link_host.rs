//! Any device at the other end of the link: every request of the host ends, with an answer of its
//! kind or an error.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pusht_core::link::{
    Answer, AnswerBody, FrameDecoder, Refusal, Request, Row, Source, VERSION, encode,
    max_frame_len, max_message_len,
};
use pusht_fuzz::limit_memory;
use pusht_host::link::{Client, Wire};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Longest row that the device sends.
const MAX_ROW_LEN: usize = 64;

/// What the device does when the host waits.
#[derive(Arbitrary, Debug)]
enum Act {
    /// Sends bytes as they are.
    Bytes(Vec<u8>),
    /// Answers the newest request, or one before it.
    Answer(u8, Body),
    /// Lets the time run out.
    Silence,
}

#[derive(Arbitrary, Debug)]
enum Body {
    Hello([u8; 16], u16, [u16; 4], String),
    Begun,
    Action(Vec<f64>, u32),
    Refused(u8, u32),
    Value(String, String),
}

#[derive(Arbitrary, Debug)]
enum Call {
    Hello,
    Describe(u16),
    Begin(u64),
    Observe([f64; 5]),
    Report,
}

/// A wire whose other end follows a script, and is closed at its end.
struct Scripted {
    script: VecDeque<Act>,
    sent: FrameDecoder<Vec<u8>>,
    /// Session and sequence number of the newest request.
    newest: (u32, u32),
    waiting: VecDeque<u8>,
}

impl Wire for Scripted {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if let Some(Ok(request)) = self.sent.push::<Request<'_>>(*byte) {
                self.newest = (request.session, request.sequence);
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _limit: Duration) -> io::Result<usize> {
        if self.waiting.is_empty() {
            match self.script.pop_front() {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Act::Silence) => return Ok(0),
                Some(Act::Bytes(bytes)) => self.waiting.extend(bytes),
                Some(Act::Answer(before, body)) => self.answer(before, &body),
            }
        }
        let n = buffer.len().min(self.waiting.len());
        for (place, byte) in buffer.iter_mut().zip(self.waiting.drain(..n)) {
            *place = byte;
        }
        Ok(n)
    }
}

impl Scripted {
    fn answer(&mut self, before: u8, body: &Body) {
        let (session, sequence) = self.newest;
        let body = match body {
            Body::Hello(board, version, dims, task) => AnswerBody::Hello {
                version: if *version == 0 { VERSION } else { *version },
                board: *board,
                model_crc32c: 0,
                obs_dim: dims[0],
                action_dim: dims[1],
                n_obs_steps: dims[2],
                n_action_steps: dims[3],
                task: short(task),
                source: Source::Image,
            },
            Body::Begun => AnswerBody::Begun,
            Body::Action(values, device_us) => AnswerBody::Action {
                values: Row::Values(&values[..values.len().min(MAX_ROW_LEN)]),
                device_us: *device_us,
            },
            Body::Refused(which, sequence) => AnswerBody::Refused(match which % 7 {
                0 => Refusal::Damaged,
                1 => Refusal::NoSession,
                2 => Refusal::NoEpisode,
                3 => Refusal::BadObservation,
                4 => Refusal::NoValue,
                5 => Refusal::WrongVersion {
                    version: *sequence as u16,
                },
                _ => Refusal::OutOfSequence {
                    expected: *sequence,
                },
            }),
            Body::Value(name, unit) => AnswerBody::Value {
                name: short(name),
                unit: short(unit),
            },
        };
        let answer = Answer {
            session,
            sequence: sequence.wrapping_sub(before.into()),
            body,
        };
        let mut memory = [0; max_frame_len(MAX_ROW_LEN)];
        self.waiting.extend(encode(&answer, &mut memory));
    }
}

/// The start of a text that fits in a frame.
fn short(text: &str) -> &str {
    let end = (0..=text.len().min(64))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

fuzz_target!(init: limit_memory(), |input: (Vec<Act>, Vec<Call>)| {
    let (script, calls) = input;
    let wire = Scripted {
        script: script.into(),
        sent: FrameDecoder::new(vec![0; max_message_len(MAX_ROW_LEN)]),
        newest: (0, 0),
        waiting: VecDeque::new(),
    };
    let mut client = Client::new(wire, Duration::from_millis(1), |_| ());
    for call in calls.iter().take(32) {
        // Whatever the device says, the next call finds the client in order.
        let _ = match call {
            Call::Hello => client.hello().map(|_| ()),
            Call::Describe(index) => client.describe(*index).map(|_| ()),
            Call::Begin(seed) => client.begin(*seed),
            Call::Observe(values) => client.observe(values).map(|_| ()),
            Call::Report => client.report().map(|_| ()),
        };
    }
});
