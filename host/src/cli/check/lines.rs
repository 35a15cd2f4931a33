//! Lines of a JSONL stream, with bounded memory whatever the stream holds.

use std::io::{self, BufRead};

/// One line.
pub(super) enum Line {
    /// Its bytes are in the buffer, without the line break.
    Whole,
    /// Longer than allowed; it has been passed over. Holds its length in bytes.
    TooLong(u64),
    /// There is no further line.
    End,
}

/// Reads the next line into `buffer`, at most `limit` bytes of it.
pub(super) fn next(reader: &mut impl BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Line> {
    buffer.clear();
    let mut length = 0u64;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok(if length == 0 { Line::End } else { finish(buffer, length, limit) });
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let piece = &available[..end.unwrap_or(available.len())];
        length += piece.len() as u64;
        let room = limit.saturating_sub(buffer.len());
        buffer.extend_from_slice(&piece[..piece.len().min(room)]);
        let consumed = piece.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            return Ok(finish(buffer, length, limit));
        }
    }
}

fn finish(buffer: &mut Vec<u8>, length: u64, limit: usize) -> Line {
    if length > limit as u64 {
        buffer.clear();
        return Line::TooLong(length);
    }
    if buffer.last() == Some(&b'\r') {
        buffer.pop();
    }
    Line::Whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(text: &str, limit: usize) -> Vec<String> {
        // A tiny buffer, so that every line crosses its border.
        let mut reader = BufReader::with_capacity(3, text.as_bytes());
        let mut buffer = Vec::new();
        let mut lines = Vec::new();
        loop {
            match next(&mut reader, &mut buffer, limit).unwrap() {
                Line::Whole => lines.push(String::from_utf8(buffer.clone()).unwrap()),
                Line::TooLong(length) => lines.push(format!("too long: {length}")),
                Line::End => return lines,
            }
        }
    }

    #[test]
    fn lines_are_cut_and_long_ones_passed_over() {
        assert_eq!(lines("one\r\n\nthree, longer\nfour", 8), ["one", "", "too long: 13", "four"]);
        assert_eq!(lines("12345678\n123456789\n", 8), ["12345678", "too long: 9"]);
        assert!(lines("", 8).is_empty());
    }
}
