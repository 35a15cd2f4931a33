//! The logs of one box: the first has its name, the n-th is called `<name>~<n>`.

/// The number of the incarnation whose log is called `origin`, if it is one of the box `id`.
#[must_use]
pub fn incarnation_of(origin: &str, id: &str) -> Option<u32> {
    let rest = origin.strip_prefix(id)?;
    if rest.is_empty() {
        return Some(1);
    }
    let number: u32 = rest.strip_prefix('~')?.parse().ok()?;
    (number > 1 && origin_of(id, number) == origin).then_some(number)
}

/// What the log of this incarnation of the box `id` is called.
#[must_use]
pub fn origin_of(id: &str, incarnation: u32) -> String {
    if incarnation <= 1 { id.to_owned() } else { format!("{id}~{incarnation}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_name_their_incarnation_in_one_way_only() {
        for incarnation in [1, 2, 17, u32::MAX] {
            assert_eq!(incarnation_of(&origin_of("box-1", incarnation), "box-1"), Some(incarnation));
        }
        for origin in ["box-1~1", "box-1~0", "box-1~02", "box-1~+2", "box-1~", "box-1~4294967296", "box-10", "box", ""]
        {
            assert_eq!(incarnation_of(origin, "box-1"), None, "{origin}");
        }
    }
}
