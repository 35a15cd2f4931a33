//! Durations and sizes as people write them: `20ms`, `5s`, `32MiB`.

use std::time::Duration;

/// Reads a whole number followed by `ms`, `s`, `m`, `h` or `d`. At most ten years, so that no sum of two overflows.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(format!(
                "`{text}` is not a duration: write a whole number and ms, s, m, h or d, such as `20ms`"
            ));
        }
    };
    const TEN_YEARS: u64 = 10 * 366 * 86_400_000;
    match number.checked_mul(millis) {
        Some(0) => Err("the duration must be longer than nothing".into()),
        Some(total) if total <= TEN_YEARS => Ok(Duration::from_millis(total)),
        _ => Err(format!("`{text}` is longer than ten years")),
    }
}

/// Reads a whole number followed by `B`, `KiB`, `MiB`, `GiB`. At most one TiB.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            return Err(format!(
                "`{text}` is not a size: write a whole number and B, KiB, MiB or GiB, such as `32MiB`"
            ));
        }
    };
    match number.checked_mul(scale) {
        Some(0) => Err("the size must be more than nothing".into()),
        Some(total) if total <= 1 << 40 => Ok(total),
        _ => Err(format!("`{text}` is more than 1024 GiB")),
    }
}

/// Reads a size followed by `/s`, from 1 KiB to 1 GiB a second.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let size = text.strip_suffix("/s").map(str::trim_end);
    let size = size.ok_or_else(|| format!("`{text}` is not a rate: write a size and /s, such as `256KiB/s`"))?;
    match bytes(size)? {
        rate if (1 << 10..=1 << 30).contains(&rate) => Ok(rate),
        _ => Err(format!("`{text}` is not 1KiB/s to 1GiB/s")),
    }
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number =
        text[..end].parse().map_err(|_| format!("`{text}` does not start with a whole number of a sensible size"))?;
    Ok((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_written() {
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("2 h"), Ok(Duration::from_secs(7200)));
        assert_eq!(bytes("32MiB"), Ok(32 << 20));
        assert_eq!(bytes("7B"), Ok(7));
        assert_eq!(rate("256KiB/s"), Ok(256 << 10));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "20", "ms", "-1s", "0s", "1.5s", "99999999999999999999s", "4000d", "20 parsecs"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "5", "0MiB", "5MB", "2048GiB", "99999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
            assert!(rate(&format!("{text}/s")).is_err(), "{text}/s");
        }
        for text in ["256KiB", "1023B/s", "2GiB/s", "1MiB/m", "/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
