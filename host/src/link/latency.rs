//! Latency of control ticks.

use std::time::Duration;

/// Latencies of the control ticks over the link.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    round_trips: Vec<Duration>,
    on_device: Vec<Duration>,
}

impl Latency {
    pub(super) fn record(&mut self, round_trip: Duration, on_device: Duration) {
        self.round_trips.push(round_trip);
        self.on_device.push(on_device);
    }

    /// Number of control ticks.
    pub fn ticks(&self) -> usize {
        self.round_trips.len()
    }

    /// Percentiles `percents` of the time from the observation to the action, on the host.
    pub fn round_trip(&self, percents: &[f64]) -> Vec<Duration> {
        percentiles(&self.round_trips, percents)
    }

    /// Percentiles `percents` of the processing time on the device, by its own clock.
    pub fn on_device(&self, percents: &[f64]) -> Vec<Duration> {
        percentiles(&self.on_device, percents)
    }
}

/// Percentiles by nearest rank: the smallest value not below that share of the values.
fn percentiles(values: &[Duration], percents: &[f64]) -> Vec<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let of = |percent: &f64| {
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
    };
    percents.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<_> = (1..=10).rev().map(Duration::from_millis).collect();
        let found = percentiles(&values, &[0.0, 50.0, 90.0, 91.0, 100.0]);
        let milliseconds: Vec<_> = found.iter().map(Duration::as_millis).collect();
        assert_eq!(milliseconds, [1, 5, 9, 10, 10]);
        assert_eq!(percentiles(&[], &[50.0]), [Duration::ZERO]);
    }
}
