//! Numbers of streams, steps and units: a type for each, so that none stands where another one is meant.

use std::ops::{Index, IndexMut};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub usize);

        impl $name {
            /// The first `n` numbers.
            pub fn first(n: usize) -> impl DoubleEndedIterator<Item = $name> + ExactSizeIterator + Clone {
                (0..n).map($name)
            }
        }

        impl<T> Index<$name> for Vec<T> {
            type Output = T;

            fn index(&self, no: $name) -> &T {
                &self.as_slice()[no.0]
            }
        }

        impl<T> IndexMut<$name> for Vec<T> {
            fn index_mut(&mut self, no: $name) -> &mut T {
                &mut self.as_mut_slice()[no.0]
            }
        }

        impl<T> Index<$name> for [T] {
            type Output = T;

            fn index(&self, no: $name) -> &T {
                &self[no.0]
            }
        }

        impl<T> IndexMut<$name> for [T] {
            fn index_mut(&mut self, no: $name) -> &mut T {
                &mut self[no.0]
            }
        }
    };
}

number! {
    /// The number of a stream in its flow.
    StreamNo
}
number! {
    /// The number of a step in its flow.
    StepNo
}
number! {
    /// The number of a unit in its plan.
    UnitNo
}
