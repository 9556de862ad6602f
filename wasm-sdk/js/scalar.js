// The plugin as the contract has it; written by `activestore plugin build`.
import { log } from "activestore:plugin/log@@VERSION@";
import { connect } from "../activestore.js";
import plugin from "../@MAIN@";

connect({ log, @NEEDS@ });
export const scalar = plugin;
