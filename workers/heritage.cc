#include "workers/heritage.h"

#include "core/counters.h"

namespace fettle {

ProgramCounters total(WorkerPage& page) {
  ProgramCounters out;
  for (ThreadCounters& thread : page.program) {
    out.packets += counted(thread.packets);
    out.bytes += counted(thread.bytes);
    out.malformed += counted(thread.malformed);
    out.changed += counted(thread.changed);
    out.accepted += counted(thread.accepted);
    out.dropped += counted(thread.dropped);
    out.repeated += counted(thread.repeated);
    out.requeued += counted(thread.requeued);
  }
  return out;
}

}  // namespace fettle
