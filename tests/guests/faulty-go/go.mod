module faulty

go 1.24

require gantry v0.0.0

replace gantry => ./.gantry/go
