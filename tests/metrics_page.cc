// Prints a page with all metrics that there can be: for those who look at it from outside
// (prometheus_test.py).
#include <cstdio>

#include "workers/metrics.h"

int main() {
  using namespace fettle;
  RunStatus status;
  status.version = "0.1.0";
  status.feed = FeedReport{};
  status.queues.resize(2);
  status.queues[1].queue = 1;
  for (QueueReport& queue : status.queues) queue.worker.last_end_at = 1;
  const RuleReport rules[] = {{.name = "a \"b\"\n\\", .hits = 1, .misses = 2}};
  const auto text = metrics_text(status, rules);
  std::fputs(text ? text->c_str() : text.error().message.c_str(), text ? stdout : stderr);
  return text ? 0 : 1;
}
