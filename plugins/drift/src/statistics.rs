//! The distributions behind thresholds. Only `+ - * / sqrt` and the pure-Rust `libm`, so that every machine and the
//! sandbox compute the same bits.

use libm::{exp, lgamma, log, log1p};

/// The value that a chi-square variable with `degrees` (at least 1) of freedom exceeds with probability `tail`
/// (0 < `tail` < 1). By bisection on the regularised upper incomplete gamma function, relative error below 1e-12.
pub(crate) fn chi_square_critical(degrees: f64, tail: f64) -> f64 {
    let shape = degrees / 2.0;
    let (mut low, mut high) = (0.0, degrees.max(1.0));
    while upper_gamma(shape, high / 2.0) > tail && high < 1e12 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = low + (high - low) / 2.0;
        if upper_gamma(shape, middle / 2.0) > tail { low = middle } else { high = middle }
    }
    high
}

/// Q(a, x) = Γ(a, x) / Γ(a). Series below a + 1, Lentz's continued fraction above (Numerical Recipes, section 6.2).
fn upper_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = exp(a * log(x) - x - lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        for _ in 0..10_000 {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for step in 1..10_000 {
        let n = f64::from(step);
        let factor = -n * (n - a);
        b += 2.0;
        d = not_zero(factor * d + b, tiny);
        c = not_zero(b + factor / c, tiny);
        d = 1.0 / d;
        let change = d * c;
        fraction *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

fn not_zero(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// Relative entropy of two coins, in nats: kl(p, q) = p ln(p/q) + (1 − p) ln((1 − p)/(1 − q)).
fn coin_entropy(p: f64, q: f64) -> f64 {
    let part = |a: f64, b: f64| if a <= 0.0 { 0.0 } else { a * log(a / b) };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// Bounds on a probability of which `count` of `total` trials are known: each is wrong with probability at most
/// `error`. Chernoff's bound inverted: `total · kl(count / total, bound) = ln(1 / error)`.
pub(crate) fn share_bounds(count: f64, total: f64, error: f64) -> (f64, f64) {
    if total <= 0.0 {
        return (0.0, 1.0);
    }
    let share = (count / total).min(1.0);
    let level = -log(error) / total;
    let search = |mut inner: f64, mut outer: f64| {
        for _ in 0..60 {
            let middle = inner + (outer - inner) / 2.0;
            if coin_entropy(share, middle) > level { outer = middle } else { inner = middle }
        }
        outer
    };
    let low = if share <= 0.0 { 0.0 } else { search(share, 0.0) };
    let high = if share >= 1.0 { 1.0 } else { search(share, 1.0) };
    (low, high)
}

/// How far the mean rank under the true distribution may lie from one half when ranks come from a sample of `total`
/// values; wrong with probability at most `error`. Bernstein's inequality for the average of the sample's own ranks,
/// whose variance is at most 1/12 and which lie within 1/2 of their mean:
/// `P(|deviation| > t) ≤ 2 exp(−total t² / (2 (1/12 + t/6)))`.
pub(crate) fn mean_rank_error(total: f64, error: f64) -> f64 {
    if total <= 0.0 {
        return 1.0;
    }
    let level = log(2.0 / error);
    let linear = level / 3.0;
    (linear + (linear * linear + 2.0 * total * level / 3.0).sqrt()) / (2.0 * total)
}

/// The least number of successes that `trials` with probability `share` reach with probability at most `tail`;
/// `trials + 1` when even all of them are likelier than that.
pub(crate) fn binomial_critical(trials: u64, share: f64, tail: f64) -> u64 {
    if share <= 0.0 {
        return 1;
    }
    if share >= 1.0 {
        return trials + 1;
    }
    let odds = log(share) - log1p(-share);
    let n = trials as f64;
    // Above this count the whole tail is beyond what a sum can feel (Chernoff), so the sum starts here.
    let level = (40.0 - log(tail)) / n;
    let (mut low, mut high) = (share, 1.0);
    for _ in 0..60 {
        let middle = low + (high - low) / 2.0;
        if coin_entropy(middle, share) > level { high = middle } else { low = middle }
    }
    let (mut below, mut count) = (0, trials);
    while below + 1 < count {
        let middle = below + (count - below) / 2;
        if middle as f64 > high * n { count = middle } else { below = middle }
    }
    let k = count as f64;
    let mut logarithm =
        lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(share) + (n - k) * log1p(-share);
    let mut sum = 0.0;
    loop {
        sum += exp(logarithm);
        if sum > tail {
            return count + 1;
        }
        if count == 0 {
            return 0;
        }
        // P(k − 1) = P(k) · k / (n − k + 1) / odds
        logarithm += log(count as f64) - log((trials - count + 1) as f64) - odds;
        count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(left: f64, right: f64, tolerance: f64) -> bool {
        (left - right).abs() <= tolerance * right.abs().max(1.0)
    }

    #[test]
    fn chi_square_matches_tables() {
        // NIST/SEMATECH e-Handbook, table of critical values; and two degrees in closed form, −2 ln(tail).
        for (degrees, tail, value) in [
            (1.0, 0.05, 3.841_458_820_694),
            (9.0, 0.01, 21.665_994_333_46),
            (10.0, 0.001, 29.588_298_445),
            (100.0, 0.05, 124.342_113_4),
            (2.0, 1e-6, 27.631_021_115_928),
        ] {
            assert!(near(chi_square_critical(degrees, tail), value, 1e-9), "{degrees} {tail}");
        }
    }

    #[test]
    fn share_bounds_solve_their_equation() {
        let (low, high) = share_bounds(30.0, 1000.0, 0.01);
        assert!(low < 0.03 && high > 0.03);
        assert!(near(1000.0 * coin_entropy(0.03, high), log(100.0), 1e-9));
        assert!(near(1000.0 * coin_entropy(0.03, low), log(100.0), 1e-9));
        // None of n: 1 − error^(1/n).
        assert!(near(share_bounds(0.0, 100.0, 0.05).1, 1.0 - exp(log(0.05) / 100.0), 1e-9));
        assert_eq!(share_bounds(0.0, 0.0, 0.05), (0.0, 1.0));
        assert_eq!(share_bounds(5.0, 5.0, 0.05).1, 1.0);
    }

    #[test]
    fn mean_rank_error_solves_its_equation() {
        let t = mean_rank_error(1000.0, 0.01);
        assert!(near(1000.0 * t * t / (2.0 * (1.0 / 12.0 + t / 6.0)), log(200.0), 1e-9));
        assert!((0.0305..0.0307).contains(&t), "{t}");
    }

    #[test]
    fn binomial_critical_matches_hand_computed_tails() {
        // Three coins: P(3) = 1/8, P(≥ 2) = 1/2.
        assert_eq!(binomial_critical(3, 0.5, 0.125 + 1e-12), 3);
        assert_eq!(binomial_critical(3, 0.5, 0.5 + 1e-12), 2);
        assert_eq!(binomial_critical(3, 0.5, 0.1), 4);
        // R: qbinom(0.999, 500, 0.02) = 21, so 22 is the first count with a tail of at most 0.001.
        assert_eq!(binomial_critical(500, 0.02, 0.001), 22);
        assert_eq!(binomial_critical(500, 0.0, 0.001), 1);
        assert_eq!(binomial_critical(500, 1.0, 0.001), 501);
    }
}
