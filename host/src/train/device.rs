//! The device that trains.

use burn::tensor::Device;

/// Device that computes the network and its gradients.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum DeviceArg {
    /// The processor.
    Cpu,
    /// The graphics card, through wgpu (`CUBECL_WGPU_DEFAULT_DEVICE` picks another than the
    /// fastest).
    #[cfg(feature = "gpu")]
    Gpu,
}

impl From<DeviceArg> for Device {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Cpu => Self::flex(),
            #[cfg(feature = "gpu")]
            DeviceArg::Gpu => Self::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        }
    }
}
