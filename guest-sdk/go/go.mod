module gantry

go 1.24
