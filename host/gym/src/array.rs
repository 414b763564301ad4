//! Arrays of one element type, row-major.

use half::f16;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// An element type of [`Array`]: a float, an integer or a boolean.
pub trait Element: Copy + PartialOrd + Send + Sync + 'static {
    /// The type as a value.
    const DTYPE: Dtype;
    /// The elements of `data` if they are of this type.
    fn slice(data: &Data) -> Option<&[Self]>;
    /// Array data with these elements.
    fn data(values: Vec<Self>) -> Data;
    /// Whether it is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Draws a value between `low` and `high`, both included. Floats follow `Box.sample`: uniform
    /// between finite bounds, exponential beyond the finite one of two bounds, normal without
    /// bounds.
    fn sample(low: Self, high: Self, random: &mut Pcg64) -> Self;
}

/// An n-dimensional array, row-major: NumPy's `ndarray` without strides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
}

/// An array as it is stored, whose shape may not fit its elements.
#[derive(Deserialize)]
struct Parts {
    shape: Vec<usize>,
    data: Data,
}

impl TryFrom<Parts> for Array {
    type Error = String;

    fn try_from(Parts { shape, data }: Parts) -> Result<Self, String> {
        match n_elements(&shape) {
            Some(n) if n == data.len() => Ok(Self { shape, data }),
            _ => Err(format!(
                "an array of shape {shape:?} with {} elements",
                data.len()
            )),
        }
    }
}

/// Elements of an array of this shape; `None` if they are more than memory can address.
fn n_elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1, |n: usize, len| n.checked_mul(*len))
}

/// [`n_elements`] of an array that is to be made.
///
/// # Panics
/// If they are more than memory can address.
fn room_for(shape: &[usize]) -> usize {
    let n = n_elements(shape);
    n.unwrap_or_else(|| panic!("an array of shape {shape:?} does not fit into memory"))
}

macro_rules! elements {
    ($($dtype:ident $element:ty, $name:literal, $size:literal, $finite:expr, $sample:path;)*) => {
        /// The element types.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Dtype {
            $(#[doc = concat!("`", $name, "`.")] $dtype,)*
        }

        /// The elements of an array, row-major.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Data {
            $(#[doc = concat!("Of type `", $name, "`.")] $dtype(Vec<$element>),)*
        }

        $(impl Element for $element {
            const DTYPE: Dtype = Dtype::$dtype;
            fn slice(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$dtype(values) => Some(values),
                    _ => None,
                }
            }
            fn data(values: Vec<Self>) -> Data {
                Data::$dtype(values)
            }
            fn is_finite(self) -> bool {
                let finite: fn(Self) -> bool = $finite;
                finite(self)
            }
            fn sample(low: Self, high: Self, random: &mut Pcg64) -> Self {
                $sample(low, high, random)
            }
        })*

        impl Dtype {
            /// The name in Rust.
            pub fn name(self) -> &'static str {
                match self { $(Self::$dtype => $name,)* }
            }

            /// Bytes per element in shared memory.
            pub fn size_bytes(self) -> usize {
                match self { $(Self::$dtype => $size,)* }
            }

            fn zeros(self, len: usize) -> Data {
                match self { $(Self::$dtype => Data::$dtype(vec![<$element>::default(); len]),)* }
            }
        }

        impl Data {
            /// The type of the elements.
            pub fn dtype(&self) -> Dtype {
                match self { $(Self::$dtype(_) => Dtype::$dtype,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$dtype(values) => values.len(),)* }
            }

            /// Whether it has no elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            fn range(&self, range: Range<usize>) -> Self {
                match self { $(Self::$dtype(values) => Self::$dtype(values[range].to_vec()),)* }
            }

            /// Overwrites the elements from `at` on.
            ///
            /// # Panics
            /// If the types differ or the elements do not fit.
            fn write(&mut self, at: usize, from: &Self) {
                match (self, from) {
                    $((Self::$dtype(to), Self::$dtype(from)) => {
                        to[at..at + from.len()].copy_from_slice(from);
                    })*
                    _ => panic!("elements of another type"),
                }
            }

            fn first_not_finite(&self) -> Option<usize> {
                match self {
                    $(Self::$dtype(values) => values.iter().position(|value| !value.is_finite()),)*
                }
            }

            fn is_between(&self, low: &Self, high: &Self) -> bool {
                match (self, low, high) {
                    $((Self::$dtype(values), Self::$dtype(low), Self::$dtype(high)) => values
                        .iter()
                        .zip(low.iter().zip(high))
                        .all(|(value, (low, high))| low <= value && value <= high),)*
                    _ => false,
                }
            }

            fn sample(low: &Self, high: &Self, random: &mut Pcg64) -> Self {
                match (low, high) {
                    $((Self::$dtype(low), Self::$dtype(high)) => Self::$dtype(
                        low.iter()
                            .zip(high)
                            .map(|(low, high)| <$element>::sample(*low, *high, random))
                            .collect(),
                    ),)*
                    _ => panic!("bounds of two types"),
                }
            }
        }
    };
}

elements! {
    F64 f64, "f64", 8, |value| f64::is_finite(value), sample_float;
    F32 f32, "f32", 4, |value| f32::is_finite(value), sample_f32;
    F16 f16, "f16", 2, |value| f16::is_finite(value), sample_f16;
    I64 i64, "i64", 8, |_| true, sample_between;
    I32 i32, "i32", 4, |_| true, sample_between;
    U8 u8, "u8", 1, |_| true, sample_between;
    Bool bool, "bool", 1, |_| true, sample_bool;
}

fn sample_between<T: rand::distr::uniform::SampleUniform + PartialOrd>(
    low: T,
    high: T,
    random: &mut Pcg64,
) -> T {
    random.random_range(low..=high)
}

fn sample_bool(low: bool, high: bool, random: &mut Pcg64) -> bool {
    if low == high { low } else { random.random() }
}

fn sample_float(low: f64, high: f64, random: &mut Pcg64) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let uniform = |random: &mut Pcg64| 1.0 - random.random::<f64>();
    match (low.is_finite(), high.is_finite()) {
        (true, true) => {
            let (share, width) = (uniform(random), high - low);
            // The width of two finite bounds may be infinite.
            let drawn = match width.is_finite() {
                true => low + width * share,
                false => low * (1.0 - share) + high * share,
            };
            drawn.clamp(low, high)
        }
        (true, false) => low - uniform(random).ln(),
        (false, true) => high + uniform(random).ln(),
        // Box and Muller, 1958.
        (false, false) => {
            let radius = (-2.0 * uniform(random).ln()).sqrt();
            radius * (std::f64::consts::TAU * uniform(random)).cos()
        }
    }
}

fn sample_f32(low: f32, high: f32, random: &mut Pcg64) -> f32 {
    (sample_float(low.into(), high.into(), random) as f32).clamp(low, high)
}

fn sample_f16(low: f16, high: f16, random: &mut Pcg64) -> f16 {
    f16::from_f64(sample_float(low.into(), high.into(), random)).clamp(low, high)
}

/// Bytes of the elements, for shared memory.
macro_rules! bytes {
    ($($dtype:ident $element:ty;)*) => {
        impl Data {
            /// Writes the elements into `out`, [`Dtype::size_bytes`] each.
            pub(crate) fn write_bytes(&self, out: &mut [u8]) {
                match self {
                    $(Self::$dtype(values) => {
                        let chunks = out.chunks_exact_mut(size_of::<$element>());
                        for (value, out) in values.iter().zip(chunks) {
                            out.copy_from_slice(&value.to_ne_bytes());
                        }
                    })*
                    Self::Bool(values) => {
                        for (value, out) in values.iter().zip(out) {
                            *out = u8::from(*value);
                        }
                    }
                }
            }

            /// Overwrites the elements with what [`Self::write_bytes`] wrote.
            pub(crate) fn read_bytes(&mut self, bytes: &[u8]) {
                match self {
                    $(Self::$dtype(values) => {
                        let (chunks, _) = bytes.as_chunks::<{ size_of::<$element>() }>();
                        for (value, chunk) in values.iter_mut().zip(chunks) {
                            *value = <$element>::from_ne_bytes(*chunk);
                        }
                    })*
                    Self::Bool(values) => {
                        for (value, byte) in values.iter_mut().zip(bytes) {
                            *value = *byte != 0;
                        }
                    }
                }
            }
        }
    };
}

bytes! {
    F64 f64;
    F32 f32;
    F16 f16;
    I64 i64;
    I32 i32;
    U8 u8;
}

impl Array {
    /// An array of `shape`; `None` if `shape` does not have as many elements as `values`.
    pub fn new<T: Element>(shape: &[usize], values: Vec<T>) -> Option<Self> {
        (n_elements(shape) == Some(values.len())).then(|| Self {
            shape: shape.to_vec(),
            data: T::data(values),
        })
    }

    /// An array of one dimension.
    pub fn vector<T: Element>(values: Vec<T>) -> Self {
        Self {
            shape: vec![values.len()],
            data: T::data(values),
        }
    }

    /// An array with the same value everywhere.
    ///
    /// # Panics
    /// If it has more elements than memory can address.
    pub fn filled<T: Element>(shape: &[usize], value: T) -> Self {
        Self {
            shape: shape.to_vec(),
            data: T::data(vec![value; room_for(shape)]),
        }
    }

    /// An array of zeros.
    ///
    /// # Panics
    /// If it has more elements than memory can address.
    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            data: dtype.zeros(room_for(shape)),
        }
    }

    /// Lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// The elements, row-major.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements if they are of type `T`.
    pub fn slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    pub(crate) fn data_mut(&mut self) -> &mut Data {
        &mut self.data
    }

    /// Whether another array has the same shape and type.
    pub fn is_like(&self, other: &Self) -> bool {
        self.shape == other.shape && self.dtype() == other.dtype()
    }

    /// Elements per row of the first dimension.
    pub(crate) fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The row `index` of the first dimension.
    pub fn row(&self, index: usize) -> Self {
        let len = self.row_len();
        Self {
            shape: self.shape[1..].to_vec(),
            data: self.data.range(index * len..(index + 1) * len),
        }
    }

    /// Overwrites the row `index` of the first dimension.
    ///
    /// # Panics
    /// If the row has a different type or length.
    pub fn set_row(&mut self, index: usize, row: &Self) {
        let len = self.row_len();
        assert_eq!(row.data.len(), len, "length of a row");
        self.data.write(index * len, &row.data);
    }

    /// Stacks arrays along a new first dimension; `None` if they differ in shape or type, or if
    /// there are none.
    pub fn stack<'a>(rows: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let rows: Vec<&Self> = rows.into_iter().collect();
        let first = rows.first()?;
        let mut shape = vec![rows.len()];
        shape.extend_from_slice(&first.shape);
        let mut stacked = Self::zeros(first.dtype(), &shape);
        for (index, row) in rows.iter().enumerate() {
            if !row.is_like(first) {
                return None;
            }
            stacked.set_row(index, row);
        }
        Some(stacked)
    }

    pub(crate) fn first_not_finite(&self) -> Option<usize> {
        self.data.first_not_finite()
    }

    pub(crate) fn is_between(&self, low: &Self, high: &Self) -> bool {
        self.is_like(low) && self.data.is_between(&low.data, &high.data)
    }

    pub(crate) fn sample(low: &Self, high: &Self, random: &mut Pcg64) -> Self {
        Self {
            shape: low.shape.clone(),
            data: Data::sample(&low.data, &high.data, random),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_beyond_the_address_space_is_refused() {
        let half = usize::MAX / 2 + 1;
        assert_eq!(
            Array::new::<u8>(&[half, 2], Vec::new()),
            None,
            "not 0 elements"
        );
        assert_eq!(Array::new(&[half, 2, 3], vec![0_u8; 3]), None);
        assert_eq!(Array::new(&[2, 2], vec![0_u8; 3]), None);
        assert!(Array::new(&[0, half], Vec::<u8>::new()).is_some());
        assert!(std::panic::catch_unwind(|| Array::filled(&[half, 2], 0_u8)).is_err());
        assert!(std::panic::catch_unwind(|| Array::zeros(Dtype::Bool, &[half, 2])).is_err());
    }

    #[test]
    fn a_stored_array_whose_shape_does_not_fit_is_refused() {
        let array = Array::new(&[2, 3], vec![1_i64; 6]).unwrap();
        let bytes = postcard::to_allocvec(&array).unwrap();
        assert_eq!(postcard::from_bytes(&bytes), Ok(array));
        let parts = (vec![2_usize, 4], Data::I64(vec![1; 6]));
        let bytes = postcard::to_allocvec(&parts).unwrap();
        assert!(postcard::from_bytes::<Array>(&bytes).is_err());
    }
}
