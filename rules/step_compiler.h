// The steps of rules to records that run (steps.h) and what these refer to. What needs the whole
// set is refused here: tables that are not there or cannot be reversed, patterns that are none.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "rules/compiled.h"
#include "rules/diagnostic.h"
#include "rules/rule.h"

namespace fettle {

class StepCompiler {
 public:
  // All three outlive it.
  StepCompiler(const RuleSet& set, std::vector<Diagnostic>* diagnostics, Program::Compiled* out);
  ~StepCompiler();

  // Adds its records to out->steps, and what they need to out->data and out->needs.
  void add(const Step& step);

 private:
  class Records;
  std::unique_ptr<Records> records_;
};

void refuse_at(std::vector<Diagnostic>* diagnostics, Location where, size_t width,
               std::string message);

}  // namespace fettle
