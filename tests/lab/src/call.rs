//! A system call that a process is about to make.

use std::fmt;
use std::fs;

use nix::libc::{self, c_long};
#[cfg(target_arch = "x86_64")]
use nix::sys::ptrace;
use nix::unistd::Pid;

/// A system call that has not begun yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    number: c_long,
    arguments: Vec<u64>,
    /// The command line of who makes it.
    by: String,
}

impl Call {
    /// That of a thread which the caller traces, and which has stopped at its entry. Nothing where the thread is gone.
    pub(crate) fn of(thread: Pid) -> Option<Self> {
        let (number, arguments) = registers(thread)?;
        Some(Self { number, arguments, by: String::new() })
    }

    /// The same, with who makes it: to be read for few.
    pub(crate) fn signed(self, thread: Pid) -> Self {
        let words = fs::read(format!("/proc/{thread}/cmdline")).unwrap_or_default();
        let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>();
        Self { by: words.join(" ").trim_end().to_owned(), ..self }
    }

    /// Whether the world outside of the process can be another one after it. After one that only reads, waits, or arranges the
    /// process's own memory, files and signals, a kill finds what it would have found before.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        let mut harmless = HARMLESS.iter().chain(OLD_HARMLESS);
        !harmless.any(|(number, _)| *number == self.number) && !self.opens_to_read()
    }

    fn opens_to_read(&self) -> bool {
        let flags = self.arguments.get(2).and_then(|flags| libc::c_int::try_from(*flags).ok());
        let is_read = |flags| flags & (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) == libc::O_RDONLY;
        self.number == libc::SYS_openat && flags.is_some_and(is_read)
    }

    fn name(&self) -> &'static str {
        let mut known = HARMLESS.iter().chain(OLD_HARMLESS).chain(TELLING).chain(OLD_TELLING);
        known.find(|(number, _)| *number == self.number).map_or("another call", |(_, name)| name)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) of {}", self.name(), self.number, self.by)
    }
}

/// The number and the first arguments (syscall(2), "Architecture calling conventions").
#[cfg(target_arch = "x86_64")]
fn registers(thread: Pid) -> Option<(c_long, Vec<u64>)> {
    let registers = ptrace::getregs(thread).ok()?;
    let number = c_long::try_from(registers.orig_rax).ok()?;
    Some((number, vec![registers.rdi, registers.rsi, registers.rdx]))
}

/// The same for every architecture, and far slower: the kernel makes sure first that the thread has left its processor.
#[cfg(not(target_arch = "x86_64"))]
fn registers(thread: Pid) -> Option<(c_long, Vec<u64>)> {
    parse(&fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?)
}

/// The number and the arguments in `44 0x5 0x7ffc... ...` (proc(5), `/proc/PID/syscall`).
#[cfg(any(test, not(target_arch = "x86_64")))]
fn parse(text: &str) -> Option<(c_long, Vec<u64>)> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let hexadecimal = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    Some((number, words.take(6).filter_map(hexadecimal).collect()))
}

macro_rules! calls {
    ($($constant:ident $name:literal)*) => { &[$((libc::$constant, $name)),*] };
}

/// Those that leave the world outside of the process as it is. On what a tracer stops, no file is written by way of memory.
const HARMLESS: &[(c_long, &str)] = calls!(
    SYS_read "read" SYS_pread64 "pread64" SYS_close "close" SYS_fstat "fstat" SYS_newfstatat "newfstatat"
    SYS_statx "statx" SYS_lseek "lseek" SYS_mmap "mmap" SYS_mprotect "mprotect" SYS_munmap "munmap" SYS_brk "brk"
    SYS_madvise "madvise" SYS_mremap "mremap" SYS_rt_sigaction "rt_sigaction" SYS_rt_sigprocmask "rt_sigprocmask"
    SYS_rt_sigreturn "rt_sigreturn" SYS_sigaltstack "sigaltstack" SYS_faccessat "faccessat"
    SYS_getdents64 "getdents64" SYS_readlinkat "readlinkat" SYS_getcwd "getcwd" SYS_pipe2 "pipe2" SYS_dup "dup"
    SYS_dup3 "dup3" SYS_fcntl "fcntl" SYS_socket "socket" SYS_bind "bind" SYS_connect "connect"
    SYS_getsockname "getsockname" SYS_getsockopt "getsockopt" SYS_recvmsg "recvmsg" SYS_recvfrom "recvfrom"
    SYS_ppoll "ppoll" SYS_pselect6 "pselect6" SYS_wait4 "wait4" SYS_futex "futex" SYS_restart_syscall "restart_syscall"
    SYS_sched_getaffinity "sched_getaffinity" SYS_sched_yield "sched_yield" SYS_set_tid_address "set_tid_address"
    SYS_set_robust_list "set_robust_list" SYS_rseq "rseq" SYS_prlimit64 "prlimit64" SYS_getrandom "getrandom"
    SYS_getpid "getpid" SYS_gettid "gettid" SYS_getuid "getuid" SYS_geteuid "geteuid" SYS_getgid "getgid"
    SYS_getegid "getegid" SYS_getppid "getppid" SYS_uname "uname" SYS_statfs "statfs" SYS_clock_nanosleep "clock_nanosleep"
    SYS_execve "execve" SYS_exit "exit"
);

/// Names of others that programs such as these make.
const TELLING: &[(c_long, &str)] = calls!(
    SYS_openat "openat" SYS_write "write" SYS_writev "writev" SYS_sendto "sendto" SYS_sendmsg "sendmsg"
    SYS_setsockopt "setsockopt" SYS_flock "flock" SYS_fsync "fsync" SYS_renameat "renameat" SYS_unlinkat "unlinkat"
    SYS_mkdirat "mkdirat" SYS_ftruncate "ftruncate" SYS_fchmod "fchmod" SYS_clone "clone" SYS_clone3 "clone3"
    SYS_ioctl "ioctl" SYS_kill "kill" SYS_tgkill "tgkill" SYS_exit_group "exit_group" SYS_prctl "prctl"
);

/// Those that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_HARMLESS: &[(c_long, &str)] = calls!(
    SYS_stat "stat" SYS_access "access" SYS_readlink "readlink" SYS_pipe "pipe" SYS_dup2 "dup2" SYS_poll "poll" SYS_select "select"
    SYS_arch_prctl "arch_prctl" SYS_alarm "alarm"
);
#[cfg(target_arch = "x86_64")]
const OLD_TELLING: &[(c_long, &str)] = calls!(
    SYS_open "open" SYS_rename "rename" SYS_mkdir "mkdir" SYS_unlink "unlink" SYS_fork "fork" SYS_vfork "vfork"
);
#[cfg(not(target_arch = "x86_64"))]
const OLD_HARMLESS: &[(c_long, &str)] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_TELLING: &[(c_long, &str)] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: c_long, arguments: &[u64]) -> Call {
        Call { number, arguments: arguments.to_vec(), by: "some program".into() }
    }

    #[test]
    fn the_kernels_words_are_read() {
        let text = "257 0xffffff9c 0x7f00 0x80241 0x1b6 0x0 0x0 0x7ffd 0x7f01\n";
        assert_eq!(parse(text), Some((257, vec![0xffff_ff9c, 0x7f00, 0x8_0241, 0x1b6, 0, 0])));
        assert_eq!(parse("running\n"), None);
    }

    #[test]
    fn what_only_reads_tells_nothing() {
        let [read, write] = [libc::O_RDONLY | libc::O_CLOEXEC, libc::O_WRONLY | libc::O_CREAT];
        let opens = |flags: i32| call(libc::SYS_openat, &[0, 0, u64::try_from(flags).unwrap()]);
        assert!(!opens(read).is_telling() && opens(write).is_telling());
        assert!(!call(libc::SYS_mmap, &[]).is_telling() && call(libc::SYS_sendto, &[]).is_telling());
        assert!(call(100_000, &[]).is_telling(), "what is not known may be anything");
    }

    #[test]
    fn a_call_is_named() {
        let name = format!("setsockopt ({}) of some program", libc::SYS_setsockopt);
        assert_eq!(call(libc::SYS_setsockopt, &[]).to_string(), name);
    }
}
