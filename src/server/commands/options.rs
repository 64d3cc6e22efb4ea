//! The options that several commands share: when a value ends, and on what a write depends.

use crate::node::change::{Ends, EndsIf, OnlyIf};
use crate::server::failure::{Failure, quoted};
use crate::server::spec::{Arg, Args};

/// How a command's number says when a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Milliseconds of one.
    ms: i64,
    /// Counted from now, not from the Unix epoch.
    from_now: bool,
}

impl Unit {
    pub(super) const EX: Self = Self::new(1_000, true);
    pub(super) const PX: Self = Self::new(1, true);
    pub(super) const EXAT: Self = Self::new(1_000, false);
    pub(super) const PXAT: Self = Self::new(1, false);

    const fn new(ms: i64, from_now: bool) -> Self {
        Self { ms, from_now }
    }

    /// The unit that the `at`-th argument names.
    fn named(args: &Args, at: usize) -> Option<Self> {
        let units = [
            ("ex", Self::EX),
            ("px", Self::PX),
            ("exat", Self::EXAT),
            ("pxat", Self::PXAT),
        ];
        let mut units = units.into_iter();
        units.find_map(|(word, unit)| args.is(at, word).then_some(unit))
    }

    /// The time that `amount` means, in milliseconds since the Unix epoch; `None` beyond what
    /// fits an `i64`, as in Redis.
    fn time_ms(self, amount: i64, now_ms: u64) -> Option<i64> {
        let ms = amount.checked_mul(self.ms)?;
        if !self.from_now {
            return Some(ms);
        }
        ms.checked_add(i64::try_from(now_ms).ok()?)
    }

    /// The time that the `at`-th argument says, which may have passed.
    pub(super) fn any_time(
        self,
        args: &Args,
        at: usize,
        now_ms: u64,
        command: &str,
    ) -> Result<u64, Failure> {
        let time_ms = self.time_ms(args.integer(at)?, now_ms);
        let time_ms = time_ms.ok_or_else(|| invalid_time(command))?;
        // Before the epoch is as much in the past as at its beginning.
        Ok(u64::try_from(time_ms).unwrap_or(0))
    }

    /// The time that the `at`-th argument says, which must be a positive number.
    pub(super) fn time(
        self,
        args: &Args,
        at: usize,
        now_ms: u64,
        command: &str,
    ) -> Result<u64, Failure> {
        if args.integer(at)? <= 0 {
            return Err(invalid_time(command));
        }
        self.any_time(args, at, now_ms, command)
    }
}

/// The option that says when a value ends: its unit, and the place of its number.
#[derive(Clone, Copy, Debug, Default)]
struct TimeOption(Option<(Unit, usize)>);

impl TimeOption {
    /// Reads the unit that the `at`-th argument names and gives the place of the number behind
    /// it, unless there is none, or another unit was read before.
    fn read(&mut self, args: &Args, at: usize) -> Option<usize> {
        let unit = Unit::named(args, at)?;
        let number = at.saturating_add(1);
        let fits = self.0.is_none_or(|(before, _)| before == unit) && number < args.len();
        fits.then(|| {
            self.0 = Some((unit, number));
            number
        })
    }

    fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The time that it says, if it was given.
    fn time(self, args: &Args, now_ms: u64, command: &str) -> Result<Option<u64>, Failure> {
        let time = self
            .0
            .map(|(unit, at)| unit.time(args, at, now_ms, command));
        time.transpose()
    }
}

fn invalid_time(command: &str) -> Failure {
    Failure::new(format!("ERR invalid expire time in '{command}' command"))
}

/// What follows the value of `SET`.
#[derive(Debug)]
pub(super) struct SetOptions {
    pub(super) ends: Ends,
    pub(super) only_if: OnlyIf,
    /// The old value is asked for.
    pub(super) get: bool,
}

impl SetOptions {
    /// Reads `[NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`, in any order.
    pub(super) fn parse(args: &Args, now_ms: u64) -> Result<Self, Failure> {
        let mut options = Self {
            ends: Ends::Never,
            only_if: OnlyIf::Always,
            get: false,
        };
        let mut time = TimeOption::default();
        let mut at = 3_usize;
        while at < args.len() {
            if args.is(at, "nx") && options.only_if != OnlyIf::Present {
                options.only_if = OnlyIf::Absent;
            } else if args.is(at, "xx") && options.only_if != OnlyIf::Absent {
                options.only_if = OnlyIf::Present;
            } else if args.is(at, "get") {
                options.get = true;
            } else if args.is(at, "keepttl") && time.is_none() {
                options.ends = Ends::Kept;
            } else if options.ends == Ends::Never
                && let Some(number) = time.read(args, at)
            {
                at = number;
            } else {
                return Err(Failure::SYNTAX);
            }
            at = at.saturating_add(1);
        }
        if let Some(at_ms) = time.time(args, now_ms, "set")? {
            options.ends = Ends::At(at_ms);
        }
        Ok(options)
    }
}

/// What follows the key of `GETEX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewEnd {
    /// Nothing: the end stays.
    Kept,
    /// There is none from now on.
    Never,
    /// Then, in milliseconds since the Unix epoch.
    At(u64),
}

impl NewEnd {
    /// Reads `[EX s | PX ms | EXAT s | PXAT ms | PERSIST]`.
    pub(super) fn parse(args: &Args, now_ms: u64) -> Result<Self, Failure> {
        let mut persist = false;
        let mut time = TimeOption::default();
        let mut at = 2_usize;
        while at < args.len() {
            if args.is(at, "persist") && time.is_none() {
                persist = true;
            } else if !persist && let Some(number) = time.read(args, at) {
                at = number;
            } else {
                return Err(Failure::SYNTAX);
            }
            at = at.saturating_add(1);
        }
        Ok(match time.time(args, now_ms, "getex")? {
            Some(at_ms) => Self::At(at_ms),
            None if persist => Self::Never,
            None => Self::Kept,
        })
    }
}

/// Reads what follows the time of `EXPIRE`: `[NX | XX | GT | LT]`, as far as they go together.
pub(super) fn ends_if(args: &Args) -> Result<EndsIf, Failure> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for at in 3..args.len() {
        let options = [
            ("nx", &mut nx),
            ("xx", &mut xx),
            ("gt", &mut gt),
            ("lt", &mut lt),
        ];
        let mut options = options.into_iter();
        let Some((_, given)) = options.find(|(word, _)| args.is(at, word)) else {
            let option = quoted(args.bytes(at), 128);
            return Err(Failure::new(format!("ERR Unsupported option {option}")));
        };
        *given = true;
    }
    if nx && (xx || gt || lt) {
        return Err(Failure::new(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    Ok(match (nx, xx, gt, lt) {
        (_, _, true, true) => {
            return Err(Failure::new(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        (true, ..) => EndsIf::Endless,
        // What has no end ends last, so nothing is later: `XX` adds nothing to `GT`.
        (_, _, true, _) => EndsIf::Later,
        (_, true, _, true) => EndsIf::EndingEarlier,
        (_, _, _, true) => EndsIf::Earlier,
        (_, true, ..) => EndsIf::Ending,
        _ => EndsIf::Any,
    })
}

/// The four ways to say when a value ends, for `COMMAND DOCS`.
pub(super) const EX: Arg = Arg::new("seconds", "integer").token("EX");
pub(super) const PX: Arg = Arg::new("milliseconds", "integer").token("PX");
pub(super) const EXAT: Arg = Arg::new("unix-time-seconds", "unix-time").token("EXAT");
pub(super) const PXAT: Arg = Arg::new("unix-time-milliseconds", "unix-time").token("PXAT");

/// Only if the key does not exist, only if it does.
pub(super) const NX_OR_XX: Arg = Arg::of(
    "condition",
    "oneof",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX")],
)
.optional();
