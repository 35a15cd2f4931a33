//! Rules about text: length, paths of a machine, links.

/// Longer files say in their header why they are one file.
const MAX_LINES: usize = 400;

/// Code and prose people read; data and lock files may be as long as they are.
const COUNTED: &[&str] = &[".rs", ".py", ".sh", ".wit", ".js", ".c"];

/// A complaint if the file is long and its leading comment does not speak of its length ("over 400 lines because …").
pub(crate) fn length(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    if lines <= MAX_LINES || !COUNTED.iter().any(|end| path.ends_with(end)) {
        return None;
    }
    let header = text.lines().take_while(|line| {
        let line = line.trim_start();
        line.is_empty() || ["//", "#", "/*", "*", "\"\"\""].iter().any(|start| line.starts_with(start))
    });
    let says = header.into_iter().any(|line| line.to_lowercase().contains("400 lines"));
    (!says).then(|| format!("{path} has {lines} lines and its header does not say \"over 400 lines because …\""))
}

/// Complaints about absolute paths of somebody's home or of the machine that the project was built on.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not hold what it looks for.
    let folders: Vec<String> =
        ["home", "Users", "root", "work", "farm"].iter().map(|name| format!("/{name}/")).collect();
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for folder in &folders {
            let found = line.match_indices(folder.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|character| character.is_alphanumeric() || "._-)}>".contains(character))
            });
            if found {
                complaints.push(format!("{path}:{}: {folder}", number + 1));
            }
        }
    }
    complaints
}

/// Complaints about relative links of a Markdown file that lead to nothing. `exists` takes paths from the root.
pub(crate) fn dead_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut complaints = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        for target in targets(&without_code(line)) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            match join(folder, file) {
                Some(joined) if exists(&joined) => {}
                _ => complaints.push(format!("{path}:{}: {target}", number + 1)),
            }
        }
    }
    complaints
}

/// The line with what stands between backticks blanked.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(part, text)| if part % 2 == 0 { text } else { " " }).collect()
}

/// Targets of `[text](target "title")`, `![text](<target>)` and `[name]: target`.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("](") {
        rest = &rest[at + 2..];
        let end = rest.find(')').unwrap_or(rest.len());
        found.extend(rest[..end].split_whitespace().next());
    }
    if let Some((_, target)) = line.trim_start().strip_prefix('[').and_then(|line| line.split_once("]: ")) {
        found.extend(target.split_whitespace().next());
    }
    found.into_iter().map(|target| target.trim_start_matches('<').trim_end_matches('>')).collect()
}

/// `file` as seen from `folder`; none if it leads out of the repository.
fn join(folder: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn a_long_file_without_a_reason_is_found() {
    let body = "let x = 1;\n".repeat(MAX_LINES);
    assert!(length("a.rs", &format!("//! A module.\n\n{body}")).is_some());
    assert!(
        length("a.rs", &format!("//! A module, over 400 lines because its tables belong together.\n\n{body}"))
            .is_none()
    );
    assert!(length("a.rs", &format!("//! A module.\nuse a;\n// over 400 lines because\n{body}")).is_some());
    assert!(length("a.rs", &body).is_none(), "exactly {MAX_LINES} lines");
    assert!(length("a.jsonl", &body.repeat(2)).is_none());
}

#[test]
fn a_path_of_a_machine_is_found() {
    for name in ["home", "Users", "root", "work", "farm"] {
        let folder = format!("/{name}/");
        assert_eq!(machine_paths("a.toml", &format!("x\npath = \"{folder}me\"\n")), [format!("a.toml:2: {folder}")]);
        assert!(machine_paths("a.toml", &format!("https://example.com{folder}x and target{folder}y")).is_empty());
    }
}

#[test]
fn a_dead_link_is_found() {
    let exists = |path: &str| ["docs/a.md", "README.md", "docs/decisions"].contains(&path);
    let dead = |path: &str, text: &str| dead_links(path, text, &exists);
    assert!(
        dead("docs/b.md", "[a](a.md) [up](../README.md#x) [folder](decisions/) [web](https://x.example/y)").is_empty()
    );
    assert!(dead("docs/b.md", "[here](#part) `[no](nothing.md)`\n```\n[no](nothing.md)\n```\n").is_empty());
    assert_eq!(dead("docs/b.md", "\n[c](c.md)"), ["docs/b.md:2: c.md"]);
    assert_eq!(dead("docs/b.md", "[a](README.md) ![i](<i.png> \"title\")").len(), 2);
    assert_eq!(dead("README.md", "[r]: docs/r.md\n[out](../x.md)").len(), 2);
}
