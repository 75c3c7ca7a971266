;; WASI preview 1 inside the component, for C's and Go's standard libraries: they ask for clocks, randomness and files
;; whether a plugin uses them or not, and a plugin without grants has none of them.
;;
;; - There are no arguments, no environment, no files, no sockets.
;; - The clock begins at 0 and moves 1 µs each time it is read; who sleeps is woken at once, with the clock moved on.
;; - Random bytes come from the seed that the host gives to hash tables (wasi:random/insecure-seed). No secrets.
;; - Standard output and error go to wasi:cli/stderr: the host's log.
;;
;; A clock of the component's own is also what lets Go collect garbage whenever it likes: its collector reads the clock,
;; and while the host allocates memory in a guest no import may be called.
(module
  (import "env" "memory" (memory 0))
  (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $get_stderr (result i32)))
  (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:random/insecure-seed@0.2.6" "insecure-seed" (func $seed (param i32)))

  ;; Nanoseconds since the instance's beginning.
  (global $now (mut i64) (i64.const 0))
  (global $random (mut i64) (i64.const 0))
  (global $seeded (mut i32) (i32.const 0))
  ;; The handle of standard error, plus one; 0 until it is asked for.
  (global $stderr (mut i32) (i32.const 0))

  ;; The host writes its answers into memory. All of it is the program's, so 16 bytes are borrowed: kept, and put back.
  (func $write_all (param $from i32) (param $bytes i32)
    (local $kept_a i64) (local $kept_b i64) (local $part i32)
    (if (i32.eqz (global.get $stderr))
      (then (global.set $stderr (i32.add (call $get_stderr) (i32.const 1)))))
    (local.set $kept_a (i64.load (i32.const 16)))
    (local.set $kept_b (i64.load (i32.const 24)))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $bytes)))
        ;; As much as one call takes.
        (local.set $part (select (i32.const 4096) (local.get $bytes) (i32.gt_u (local.get $bytes) (i32.const 4096))))
        (call $write (i32.sub (global.get $stderr) (i32.const 1)) (local.get $from) (local.get $part) (i32.const 16))
        (local.set $from (i32.add (local.get $from) (local.get $part)))
        (local.set $bytes (i32.sub (local.get $bytes) (local.get $part)))
        (br $more)))
    (i64.store (i32.const 16) (local.get $kept_a))
    (i64.store (i32.const 24) (local.get $kept_b)))

  (func $sow
    (local $kept_a i64) (local $kept_b i64)
    (local.set $kept_a (i64.load (i32.const 16)))
    (local.set $kept_b (i64.load (i32.const 24)))
    (call $seed (i32.const 16))
    (global.set $random (i64.xor (i64.load (i32.const 16)) (i64.load (i32.const 24))))
    (i64.store (i32.const 16) (local.get $kept_a))
    (i64.store (i32.const 24) (local.get $kept_b))
    (global.set $seeded (i32.const 1)))

  ;; The next number of a Weyl sequence, mixed.
  (func $next (result i64) (local $x i64)
    (global.set $random (i64.add (global.get $random) (i64.const 0x9E3779B97F4A7C15)))
    (local.set $x (global.get $random))
    (local.set $x (i64.mul (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 30))) (i64.const 0xBF58476D1CE4E5B9)))
    (local.set $x (i64.mul (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 27))) (i64.const 0x94D049BB133111EB)))
    (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 31))))

  (func (export "random_get") (param $to i32) (param $bytes i32) (result i32)
    (if (i32.eqz (global.get $seeded)) (then (call $sow)))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $bytes)))
        (i64.store8 (local.get $to) (call $next))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        (br $more)))
    (i32.const 0))

  (func (export "clock_res_get") (param i32) (param $to i32) (result i32)
    (i64.store (local.get $to) (i64.const 1000))
    (i32.const 0))
  (func (export "clock_time_get") (param i32 i64) (param $to i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store (local.get $to) (global.get $now))
    (i32.const 0))

  ;; Everything waited for has happened: each subscription (48 bytes) becomes an event (32 bytes).
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (local $began i64) (local $until i64)
    (local.set $began (global.get $now))
    (i32.store (local.get $events) (local.get $count))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $count)))
        (i64.store (local.get $out) (i64.load (local.get $in)))
        (i64.store offset=8 (local.get $out) (i64.const 0))
        (i64.store offset=16 (local.get $out) (i64.const 0))
        (i64.store offset=24 (local.get $out) (i64.const 0))
        (i32.store8 offset=10 (local.get $out) (i32.load8_u offset=8 (local.get $in)))
        (if (i32.eqz (i32.load8_u offset=8 (local.get $in)))
          (then
            (local.set $until (i64.load offset=24 (local.get $in)))
            (if (i32.eqz (i32.and (i32.load16_u offset=40 (local.get $in)) (i32.const 1)))
              (then (local.set $until (i64.add (local.get $began) (local.get $until)))))
            (if (i64.gt_u (local.get $until) (global.get $now))
              (then (global.set $now (local.get $until))))))
        (local.set $in (i32.add (local.get $in) (i32.const 48)))
        (local.set $out (i32.add (local.get $out) (i32.const 32)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $more)))
    (i32.const 0))

  (func (export "fd_write") (param $fd i32) (param $vectors i32) (param $count i32) (param $written i32) (result i32)
    (local $total i32) (local $bytes i32)
    (if (i32.or (i32.eqz (local.get $fd)) (i32.gt_u (local.get $fd) (i32.const 2))) (then (return (i32.const 8))))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $bytes (i32.load offset=4 (local.get $vectors)))
        (call $write_all (i32.load (local.get $vectors)) (local.get $bytes))
        (local.set $total (i32.add (local.get $total) (local.get $bytes)))
        (local.set $vectors (i32.add (local.get $vectors) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $more)))
    (i32.store (local.get $written) (local.get $total))
    (i32.const 0))
  ;; Standard input is at its end.
  (func (export "fd_read") (param $fd i32) (param i32 i32) (param $read i32) (result i32)
    (if (local.get $fd) (then (return (i32.const 8))))
    (i32.store (local.get $read) (i32.const 0))
    (i32.const 0))
  ;; The three standard streams are character devices.
  (func (export "fd_fdstat_get") (param $fd i32) (param $to i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    (i64.store (local.get $to) (i64.const 2))
    (i64.store offset=8 (local.get $to) (i64.const -1))
    (i64.store offset=16 (local.get $to) (i64.const -1))
    (i32.const 0))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 0))
  (func (export "fd_close") (param i32) (result i32) (i32.const 0))

  (func $two_zeros (param $a i32) (param $b i32) (result i32)
    (i32.store (local.get $a) (i32.const 0))
    (i32.store (local.get $b) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $two_zeros))
  (export "environ_sizes_get" (func $two_zeros))
  (func $nothing_to_copy (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing_to_copy))
  (export "environ_get" (func $nothing_to_copy))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) unreachable)
  (func (export "proc_raise") (param i32) (result i32) unreachable)

  ;; Descriptors other than those three do not exist (EBADF), standard streams cannot seek (ESPIPE).
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 70))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_tell") (param i32 i32) (result i32) (i32.const 70))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8)))
