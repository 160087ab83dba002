"""HTTP load: open-loop arrivals, raw connections and Locust runs."""
