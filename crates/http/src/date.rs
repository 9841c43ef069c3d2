//! The `Date` header, made once a second.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

const LENGTH: usize = 29;

thread_local! {
    static CACHED: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, [0; LENGTH])) };
}

/// Appends the time of now as HTTP wants it: `Tue, 24 Nov 2026 10:00:00 GMT`.
pub(crate) fn write(out: &mut Vec<u8>) {
    // Before 1970 there was no HTTP.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (second, text) = CACHED.get();
    if second == now {
        out.extend_from_slice(&text);
        return;
    }
    let text = format(now);
    CACHED.set((now, text));
    out.extend_from_slice(&text);
}

fn format(seconds: u64) -> [u8; LENGTH] {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    put(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[(month - 1) as usize]);
    put(&mut text[12..16], year);
    put(&mut text[17..19], seconds / 3600 % 24);
    put(&mut text[20..22], seconds / 60 % 60);
    put(&mut text[23..25], seconds % 60);
    text
}

fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a number of days since 1970 (Hinnant's algorithm for the Gregorian
/// calendar).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_http_wants() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_514_400, "Tue, 24 Nov 2026 10:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        ] {
            assert_eq!(format(seconds), text.as_bytes(), "{seconds}");
        }
        let mut out = Vec::new();
        write(&mut out);
        write(&mut out);
        assert_eq!(out.len(), 2 * LENGTH);
    }
}
