#include "workers/log.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

TEST(LogFields, AreWhatALineIsAbout) {
  EXPECT_EQ(log_fields("queue 3: worker 124 has shown no sign of life for 2000 ms, killing it"),
            (Fields{{"FETTLE_QUEUE", "3"}, {"FETTLE_WORKER", "124"}}));
  EXPECT_EQ(log_fields("queue 65535: bound, CPU 1"), (Fields{{"FETTLE_QUEUE", "65535"}}));
  EXPECT_EQ(log_fields("queue 0: worker killed by signal 9 (Killed); restarting now"),
            (Fields{{"FETTLE_QUEUE", "0"}}));
  for (const char* other :
       {"queues 0:2: handed over to process 30198", "ready: queue 0, 1 worker", ""})
    EXPECT_EQ(log_fields(other), Fields{}) << other;
}

}  // namespace
}  // namespace fettle
