//! The page's end of the serial link (`docs/link.md`), without the wire: bytes to send and bytes
//! received. The page carries them by Web Serial or a WebSocket, and keeps the time.

use pusht_core::link::{
    Answer, AnswerBody, Damage, FrameDecoder, Refusal, Request, RequestBody, Row, VERSION, encode,
    max_frame_len, max_message_len,
};
use std::collections::VecDeque;
use wasm_bindgen::prelude::*;

/// Largest length of an observation or an action.
const MAX_VALUES: usize = 64;

/// What received bytes mean for the request under way.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet: wait on.
    Nothing,
    /// The answer has come.
    Answer,
    /// A frame was damaged: send the request again.
    Damaged,
    /// The device has lost the session or the episode: begin anew with a hello.
    Forgotten,
    /// The device refuses, for the reason in `message`.
    Refused,
}

/// A session with a device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Link {
    decoder: FrameDecoder<Vec<u8>>,
    /// Received bytes, not decoded yet.
    pending: VecDeque<u8>,
    session: u32,
    sequence: u32,
    /// The frame of the request under way.
    frame: Vec<u8>,
    board: String,
    task: String,
    model_crc32c: u32,
    action: Vec<f64>,
    message: String,
}

#[wasm_bindgen]
impl Link {
    /// A link without a session.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self {
            decoder: FrameDecoder::new(vec![0; max_message_len(MAX_VALUES)]),
            pending: VecDeque::new(),
            session: 0,
            sequence: 0,
            frame: Vec::new(),
            board: String::new(),
            task: String::new(),
            model_crc32c: 0,
            action: Vec::new(),
            message: String::new(),
        }
    }

    /// Bytes that open a session; `random` is its number, not 0.
    pub fn hello(&mut self, random: u32) -> Vec<u8> {
        (self.session, self.sequence) = (random.max(1), 0);
        self.ask(RequestBody::Hello { version: VERSION })
    }

    /// Bytes that begin an episode with the noise of `seed`.
    pub fn begin(&mut self, seed: f64) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        self.ask(RequestBody::Begin { seed: seed as u64 })
    }

    /// Bytes that ask for the action after an observation.
    pub fn observe(&mut self, observation: &[f64]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let values = Row::Values(observation);
        self.ask(RequestBody::Observe { values })
    }

    /// Bytes of the request under way once more, behind a zero that ends what is incomplete.
    pub fn again(&self) -> Vec<u8> {
        [&[0], &self.frame[..]].concat()
    }

    /// Takes received bytes. Those behind the first that mean something for the request under way
    /// are kept for the next call.
    pub fn receive(&mut self, bytes: &[u8]) -> Heard {
        let ours = (self.session, self.sequence);
        self.pending.extend(bytes);
        while let Some(byte) = self.pending.pop_front() {
            let answer = match self.decoder.push::<Answer<'_>>(byte) {
                None | Some(Err(Damage::Empty)) => continue,
                Some(Err(_)) => return Heard::Damaged,
                Some(Ok(answer)) => answer,
            };
            let is_ours = (answer.session, answer.sequence) == ours;
            match answer.body {
                AnswerBody::Event { .. } => {}
                AnswerBody::Refused(Refusal::Damaged) => return Heard::Damaged,
                AnswerBody::Refused(Refusal::Busy) => {
                    self.message = "another program drives the device".to_owned();
                    return Heard::Refused;
                }
                _ if !is_ours => {}
                AnswerBody::Refused(refusal) => return self.refused(refusal),
                AnswerBody::Hello {
                    board,
                    model_crc32c,
                    task,
                    ..
                } => {
                    let board = String::from_utf8_lossy(&board);
                    self.board = board.trim_end_matches('\0').to_owned();
                    self.task = task.to_owned();
                    self.model_crc32c = model_crc32c;
                    return Heard::Answer;
                }
                AnswerBody::Action { values, .. } => {
                    self.action = values.iter().collect();
                    return Heard::Answer;
                }
                _ => return Heard::Answer,
            }
        }
        Heard::Nothing
    }

    /// Name of the board.
    #[wasm_bindgen(getter)]
    pub fn board(&self) -> String {
        self.board.clone()
    }

    /// Task of the device's policy.
    #[wasm_bindgen(getter)]
    pub fn task(&self) -> String {
        self.task.clone()
    }

    /// CRC-32C of the device's model file.
    #[wasm_bindgen(getter)]
    pub fn model_crc32c(&self) -> u32 {
        self.model_crc32c
    }

    /// The action of the last answer.
    #[wasm_bindgen(getter)]
    pub fn action(&self) -> Vec<f64> {
        self.action.clone()
    }

    /// Why the device refused.
    #[wasm_bindgen(getter)]
    pub fn message(&self) -> String {
        self.message.clone()
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    fn ask(&mut self, body: RequestBody<'_>) -> Vec<u8> {
        let request = Request {
            session: self.session,
            sequence: self.sequence,
            body,
        };
        let mut memory = vec![0; max_frame_len(MAX_VALUES)];
        self.frame = encode(&request, &mut memory).to_vec();
        self.frame.clone()
    }

    fn refused(&mut self, refusal: Refusal) -> Heard {
        self.message = match refusal {
            Refusal::NoSession | Refusal::OutOfSequence { .. } | Refusal::NoEpisode => {
                return Heard::Forgotten;
            }
            Refusal::WrongVersion { version } => format!(
                "the device speaks version {version} of the link, this page version {VERSION}"
            ),
            Refusal::BadObservation => "the device refused an observation".to_owned(),
            other => format!("the device refused: {other:?}"),
        };
        Heard::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pusht_core::link::{BOARD_LEN, Source};

    fn frame(answer: &Answer<'_>) -> Vec<u8> {
        let mut memory = vec![0; max_frame_len(MAX_VALUES)];
        encode(answer, &mut memory).to_vec()
    }

    fn hello(session: u32, board: &str) -> Vec<u8> {
        let mut name = [0; BOARD_LEN];
        name[..board.len()].copy_from_slice(board.as_bytes());
        frame(&Answer {
            session,
            sequence: 0,
            body: AnswerBody::Hello {
                version: VERSION,
                board: name,
                model_crc32c: 7,
                obs_dim: 18,
                action_dim: 2,
                n_obs_steps: 2,
                n_action_steps: 8,
                task: "pusht/vertices",
                source: Source::Image,
            },
        })
    }

    #[test]
    fn an_answer_counts_only_for_its_own_request() {
        let mut link = Link::new();
        let sent = link.hello(9);
        assert_eq!(sent.last(), Some(&0));
        assert_eq!(link.again()[1..], sent);
        assert_eq!(link.receive(&hello(8, "other")), Heard::Nothing);
        let answer = hello(9, "board");
        assert_eq!(link.receive(&answer[..5]), Heard::Nothing);
        assert_eq!(link.receive(&answer[5..]), Heard::Answer);
        assert_eq!(
            (link.board(), link.task()),
            ("board".into(), "pusht/vertices".into())
        );

        link.observe(&[0.5; 18]);
        let action = |sequence| {
            let values = Row::Values(&[1.0, -2.0]);
            let body = AnswerBody::Action {
                values,
                device_us: 3,
            };
            frame(&Answer {
                session: 9,
                sequence,
                body,
            })
        };
        assert_eq!(link.receive(&action(0)), Heard::Nothing);
        assert_eq!(link.receive(&action(1)), Heard::Answer);
        assert_eq!(link.action(), [1.0, -2.0]);
    }

    #[test]
    fn damage_and_refusals_are_told_apart() {
        let mut link = Link::new();
        link.hello(9);
        let mut damaged = hello(9, "board");
        damaged[3] ^= 4;
        assert_eq!(link.receive(&damaged), Heard::Damaged);
        for (refusal, heard, message) in [
            (Refusal::NoEpisode, Heard::Forgotten, ""),
            (
                Refusal::WrongVersion { version: 2 },
                Heard::Refused,
                "version 2",
            ),
            (Refusal::Busy, Heard::Refused, "another program"),
        ] {
            let body = AnswerBody::Refused(refusal);
            let sequence = 0;
            let answer = frame(&Answer {
                session: 9,
                sequence,
                body,
            });
            assert_eq!(link.receive(&answer), heard);
            assert!(link.message().contains(message));
        }
    }
}
