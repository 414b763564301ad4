//! What a device, a row and an offer say of themselves.

use super::*;
use crate::quant::Model;
use std::format;

#[test]
fn a_row_is_empty_only_without_values() {
    assert!(Row::Values(&[]).is_empty() && Row::Bytes(&[]).is_empty());
    assert!(!Row::Values(&[0.0]).is_empty() && !Row::Bytes(&[[0; 8]]).is_empty());
}

#[test]
fn rows_are_equal_whose_values_are() {
    let bytes = [1.0_f64, -2.0].map(f64::to_le_bytes);
    assert_eq!(Row::Values(&[1.0, -2.0]), Row::Bytes(&bytes));
    assert_ne!(Row::Values(&[1.0, 2.0]), Row::Bytes(&bytes));
    assert_ne!(Row::Values(&[1.0]), Row::Bytes(&bytes));
}

#[test]
fn an_offer_says_what_the_model_needs() {
    let file = crate::include_model!("../../../../models/pusht-small.ptm");
    let model = Model::parse(file).unwrap();
    let offer = Offer::of(&model, file.len(), 7);
    let shape = model.shape();
    assert_eq!((offer.len as usize, offer.crc32c), (file.len(), 7));
    assert_eq!(
        offer.scratch_bytes as usize,
        size_of::<u64>() * model.scratch_len()
    );
    let sizes = [
        offer.obs_dim,
        offer.action_dim,
        offer.n_obs_steps,
        offer.n_action_steps,
    ];
    let needed = [
        shape.obs_dim,
        shape.action_dim,
        shape.n_obs_steps,
        shape.n_action_steps,
    ];
    assert_eq!(sizes.map(usize::from), needed);
}

#[test]
fn lost_bytes_are_counted_and_told() {
    let clock = Cell::new(5);
    let mut device = device(&clock);
    ask(&mut device, 9, 0, HELLO);
    device.overrun(3);
    device.overrun(4);
    assert_eq!(device.counts().overrun_bytes, 7);
    let answers = say(&mut device, &frame_of(&request(9, 1, RequestBody::Report)));
    let events = [3, 7].map(|bytes| AnswerBody::Event {
        at_us: 5,
        event: Event::Overrun { bytes },
    });
    assert_eq!([answers[1].body, answers[2].body], events);
}

/// Takes everything.
struct Anything;

impl ModelStore for Anything {
    fn offer(&mut self, _: &Offer) -> Result<u32, Refusal> {
        Ok(0)
    }

    fn piece(&mut self, at: u32, bytes: &[u8]) -> Result<u32, Refusal> {
        Ok(at + bytes.len() as u32)
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        Ok(())
    }
}

#[test]
fn a_restart_is_due_once_a_model_is_committed() {
    let clock = Cell::new(0);
    let mut device = device(&clock).with_store(Box::leak(Box::new(Anything)));
    assert!(!device.is_restart_due());
    ask(&mut device, 9, 0, HELLO);
    let bytes = &[1, 2, 3, 4];
    let stored = AnswerBody::Stored { at: 4 };
    assert_eq!(
        ask(&mut device, 9, 1, RequestBody::Piece { at: 0, bytes }),
        stored
    );
    assert!(!device.is_restart_due());
    assert_eq!(
        ask(&mut device, 9, 2, RequestBody::Commit),
        AnswerBody::Committed
    );
    assert!(device.is_restart_due());
}

#[test]
fn a_device_shows_whom_it_serves() {
    let clock = Cell::new(0);
    let shown = format!("{:?}", device(&clock));
    for word in [
        "Device {",
        "source: Image",
        "state: Idle",
        "overrun_bytes: 0",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
