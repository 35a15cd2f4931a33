//! Which lines of a text have changed.

/// Most pairs of lines that are compared; beyond, all that lies between the first and the last change is shown.
const MOST_PAIRS: usize = 4_000_000;

/// The lines that differ, each behind `- ` or `+ `, and what stands around them behind two spaces; longest common
/// subsequence.
pub(super) fn lines(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(one, other)| one == other).count();
    let (before, after) = (&old[same..old.len() - rest], &new[same..new.len() - rest]);
    if before.is_empty() && after.is_empty() {
        return Vec::new();
    }
    let mut out: Vec<String> = old[same.saturating_sub(1)..same].iter().map(|line| format!("  {line}")).collect();
    if before.len().saturating_mul(after.len()) > MOST_PAIRS {
        out.extend(before.iter().map(|line| format!("- {line}")));
        out.extend(after.iter().map(|line| format!("+ {line}")));
        return out;
    }
    // lengths[i][j]: how long the common subsequence of before[i..] and after[j..] is.
    let mut lengths = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            lengths[i][j] = if before[i] == after[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut unchanged: Vec<&str> = Vec::new();
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            unchanged.push(before[i]);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        around(&mut out, &mut unchanged);
        if j == after.len() || (i < before.len() && lengths[i + 1][j] >= lengths[i][j + 1]) {
            out.push(format!("- {}", before[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", after[j]));
            j += 1;
        }
    }
    out
}

/// Two lines of what did not change are enough to find the place.
fn around(out: &mut Vec<String>, unchanged: &mut Vec<&str>) {
    if unchanged.len() > 4 {
        out.extend(unchanged[..2].iter().map(|line| format!("  {line}")));
        out.push("  ...".to_owned());
        out.extend(unchanged[unchanged.len() - 2..].iter().map(|line| format!("  {line}")));
    } else {
        out.extend(unchanged.iter().map(|line| format!("  {line}")));
    }
    unchanged.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_shown_with_what_stands_before_it() {
        assert_eq!(lines("a\nb\nc\nd", "a\nx\nc\nd\ne"), ["  a", "- b", "+ x", "  c", "  d", "+ e"]);
        assert_eq!(lines("a\nb", "a\nb"), Vec::<String>::new());
        assert_eq!(lines("", "a"), ["+ a"]);
        let many: String = (0..9).map(|line| format!("{line}\n")).collect();
        let shown = lines(&format!("x\n{many}y\n"), &format!("1\n{many}2\n"));
        assert_eq!(shown, ["- x", "+ 1", "  0", "  1", "  ...", "  7", "  8", "- y", "+ 2"]);
    }
}
