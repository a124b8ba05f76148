"""Performance"""

from pytest_dryrun import check


@check("latency-p95", criterion="latency")
def test_latency_p95(target, latency, record):
    """95 of 100 requests and queries are answered within the limit.

    Timed by the client, before on a copy of the unmigrated data and after on the target.

    When it is red: compare the slowest path or query with its figure before.
    """
    if not latency.configured:
        record.not_applicable("neither [performance] requests (with an [api]) nor queries are configured")
    for name, value in latency.facts():
        record.fact(name, value, "ms")
    record.note(latency.findings)
    assert not latency.problem, latency.problem
    limit = target.performance.p95_ms
    assert latency.after_p95_ms <= limit, (
        f"p95 is {latency.after_p95_ms:.1f} ms ({latency.slowest}), the limit is {limit:g} ms"
    )


@check("slow-queries", criterion="latency")
def test_slow_queries(target, top_statements, record):
    """No statement that the application sent takes longer than the limit on average.

    A staging server that counts no statements (`pg_stat_statements`) is red: what nobody saw may be slow.

    When it is red: look at the plan of the statement named first; where none is counted, let the server count them, or
    do without in `dryrun.toml` (`[performance]` `slow_queries = false`).
    """
    if not target.performance.slow_queries:
        record.not_applicable("the target has [performance] slow_queries = false")
    if not target.sends_statements:
        record.not_applicable("neither an [api] nor [performance] queries are configured, so nothing sends statements")
    if top_statements.unavailable and target.role == "local":  # whose server is of the kind that is configured
        record.not_applicable(top_statements.unavailable)
    assert not top_statements.unavailable, (
        f"which statements are slow cannot be told: {top_statements.unavailable}. Mend that on the server, or set"
        " [performance] slow_queries = false"
    )
    record.fact(
        "Top statements",
        [f"{item.mean_ms:.2f} ms x {item.calls}: {item.query[:120]}" for item in top_statements.rows[:10]],
    )
    slow = [item for item in top_statements.rows if item.mean_ms > target.performance.p95_ms]
    assert not slow, "; ".join(
        f"{item.mean_ms:.0f} ms on average ({item.calls} calls): {item.query[:200]}" for item in slow
    )


@check("stalls", criterion="no-stalls")
def test_stalls(target, rehearsal, record):
    """While the migration ran on the copy, no reader and no writer waited longer than the limit.

    Measured by sessions that kept asking for the tables and rows that the migration touches; `scale` says how much
    bigger production is. In a second pass a transaction that was left open shows who would queue behind a statement
    without a `lock_timeout`. The target is not touched before this holds.

    When it is red: production would have stood still for as long as the finding says.
    """
    record.fact("Longest read stall", round(rehearsal.longest_read_ms, 1), "ms")
    record.fact("Longest write stall", round(rehearsal.longest_write_ms, 1), "ms")
    record.fact("Longest row lock", round(rehearsal.longest_row_lock_ms, 1), "ms")
    record.fact("Watched first pass", round(rehearsal.duration_ms, 1), "ms")
    record.fact("Second pass", round(rehearsal.second_pass_ms, 1), "ms")
    record.fact("Scale", target.performance.scale)
    record.judge(rehearsal.stalls)
    rehearsal.hold()


@check("memory", criterion="no-p0")
def test_memory(resources, record):
    """Server and API stay within the memory they may use.

    When it is red: the peak and whose it was are shown.
    """
    for usage in resources.groups:
        record.fact(f"Peak memory of {usage.name}", usage.memory_peak_bytes, "bytes")
    record.fact("Limit", resources.memory_limit_bytes, "bytes")
    assert resources.measured, "nothing was measured: " + "; ".join(resources.reasons)
    assert resources.memory_peak_bytes <= resources.memory_limit_bytes, resources.too_much_memory()


@check("cpu", criterion="no-p0")
def test_cpu(resources, record):
    """Server and API leave the machine room to breathe.

    The mean over the smoke and latency checks, as a share of all cores.

    When it is red: something computes all the time; the slow queries are the first place to look.
    """
    for usage in resources.groups:
        record.fact(f"Mean CPU of {usage.name}", usage.cpu_mean_percent, "percent")
    record.fact("Share of the machine", round(resources.cpu_share_percent, 1), "percent")
    assert resources.measured, "nothing was measured: " + "; ".join(resources.reasons)
    assert resources.cpu_share_percent <= resources.cpu_limit_percent, resources.too_much_cpu()


@check("p0-bugs", criterion="no-p0")
def test_p0_bugs(target, open_bugs, crashes_are_counted, record):
    """No P0 bug is open, no log named in the configuration has new errors, no process crashed.

    Logs count since the run began; crashes, where pm2 tells them, since the application runs on the migrated database.

    When it is red: each line is listed; a P0 bug and a migration do not go out together.
    """
    if not target.p0.command and not target.p0.logs and not crashes_are_counted:
        record.not_applicable("neither a [p0] command nor [p0] logs nor an [api] status of pm2 are configured")
    bugs = open_bugs()
    record.fact("Open", len(bugs))
    assert not bugs, "\n".join(bugs[:20])
