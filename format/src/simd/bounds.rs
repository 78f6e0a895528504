//! What minimum, maximum and mean of each channel say of a dot product, in f64.

use super::compiled;

/// Sums that do not wait for each other.
const SUMS: usize = 8;

/// Sums over channels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BoundSums {
    /// Of the largest products.
    bound: [f64; SUMS],
    /// Of the sizes of the products that are largest by size.
    most: [f64; SUMS],
    /// Of the products with the mean.
    mean: [f64; SUMS],
    /// Of the sizes of the query.
    size: [f64; SUMS],
}

impl BoundSums {
    /// The four, in the order of their fields.
    pub(crate) fn totals(self) -> [f64; 4] {
        [self.bound, self.most, self.mean, self.size].map(|sums| sums.iter().sum())
    }

    #[inline(always)]
    fn add(&mut self, i: usize, [q, min, max, mean]: [f32; 4]) {
        let [q, min, max, mean] = [q, min, max, mean].map(f64::from);
        let (low, high) = (q * min, q * max);
        // Not `max`: what is no number has to stay.
        self.bound[i] += if low > high { low } else { high };
        self.most[i] += if low.abs() > high.abs() { low.abs() } else { high.abs() };
        self.mean[i] += q * mean;
        self.size[i] += q.abs();
    }
}

compiled! {
    /// Adds every channel; all four lists are as long.
    fn add_bounds(query: &[f32], min: &[f32], max: &[f32], mean: &[f32], sums: &mut BoundSums) {
        let (queries, rest) = query.as_chunks::<SUMS>();
        let (mins, rest_min) = min.as_chunks::<SUMS>();
        let (maxs, rest_max) = max.as_chunks::<SUMS>();
        let (means, rest_mean) = mean.as_chunks::<SUMS>();
        let mut all = *sums;
        for (((query, min), max), mean) in queries.iter().zip(mins).zip(maxs).zip(means) {
            for i in 0..SUMS {
                all.add(i, [query[i], min[i], max[i], mean[i]]);
            }
        }
        let rest = rest.iter().zip(rest_min).zip(rest_max).zip(rest_mean);
        for (i, (((query, min), max), mean)) in rest.enumerate() {
            all.add(i, [*query, *min, *max, *mean]);
        }
        *sums = all;
    }
}
