"""The page of results."""
def page(results):
    import json
    yield json.dumps(results)[:300]
    for l in results["loads"]:
        for m in ("ttft","tpot","e2e"):
            a,b=l["measured"][m],l["predicted"][m]
            yield f'{l["name"]:18} {l["role"]:9} n={l["n_requests"]:3} {m} meas {a["mean_s"]:.4f} pred {b["mean_s"]:.4f} [{b["low_s"]:.3f},{b["high_s"]:.3f}] {b["mean_s"]/a["mean_s"]-1:+.1%} p90 {b["p90_s"]/a["p90_s"]-1:+.1%}'
