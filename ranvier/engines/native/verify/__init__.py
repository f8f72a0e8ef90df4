"""What must hold after each stage of the compiler, checked every time a step is compiled.

A broken rule is a defect of Ranvier, never of the program that it compiles. The error names the
stage, the kernel and the rule.
"""
